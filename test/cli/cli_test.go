// Package cli tests the program as a user meets it: every script in testdata
// runs the real binary, and reads as a page of its manual.
//
// The scripts have, besides testscript's own commands:
//
//	exits CODE COMMAND…       runs a command that must exit with CODE
//	eventually REGEXP COMMAND…  repeats a command until its output matches
//	expand FILE…              replaces ${NAME} in files by the environment's value
//	terminal CODE FILE COMMAND… runs a command on a terminal, shown in FILE
//	newer FILE                makes a database that a newer program wrote
//	visit URL                 sends requests, about 200 a second, until the script ends
//
// PORT and PORT2 are ports that are kept for the script; OWNER is the
// process whose end ends the sample shops.
package cli

import (
	"database/sql"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"serin.dev/serin/internal/store/sqlite"
	"serin.dev/serin/test/plane/ports"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in the scripts")

// patience bounds eventually.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withProgram(m))
}

// withProgram makes the program once, as it is shipped: without cgo.
func withProgram(m *testing.M) int {
	dir, err := os.MkdirTemp("", "serin-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "serin"), "serin.dev/serin/cmd/serin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build serin: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// bin is the folder of the program; it is set once, before any test.
var bin string

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"eventually": eventually,
			"expand":     expand,
			"visit":      visit,
			"terminal":   terminal,
			"newer":      newer,
		},
	})
}

func setup(e *testscript.Env) error {
	for _, name := range []string{"PORT", "PORT2"} {
		address, release, err := ports.Reserve()
		if err != nil {
			return err
		}
		e.Defer(release)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		e.Setenv(name, port)
	}
	e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
	e.Setenv("SERIN_STATE", filepath.Join(e.WorkDir, "state"))
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("OWNER", strconv.Itoa(os.Getpid()))
	e.Setenv("TERM", "xterm")
	return nil
}

// newer makes a database as a program of years to come would leave it.
func newer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer FILE")
	}
	path := ts.MkAbs(args[0])
	st, err := sqlite.Open(path, sqlite.Options{})
	ts.Check(err)
	ts.Check(st.Close())
	db, err := sql.Open("sqlite", path)
	ts.Check(err)
	_, err = db.Exec("PRAGMA user_version = 9999")
	ts.Check(errors.Join(err, db.Close()))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP COMMAND…")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && want.MatchString(out) {
			return
		}
		if time.Since(begun) > patience {
			ts.Fatalf("no output matched %q within %s", args[0], patience)
		}
	}
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE…")
	}
	name := regexp.MustCompile(`\$\{[A-Z0-9_]+\}`)
	for _, file := range args {
		path := ts.MkAbs(file)
		data, err := os.ReadFile(path)
		ts.Check(err)
		data = name.ReplaceAllFunc(data, func(m []byte) []byte { return []byte(ts.Getenv(string(m[2 : len(m)-1]))) })
		ts.Check(os.WriteFile(path, data, 0o600))
	}
}

// visit sends requests from now on, whether they are answered or not.
func visit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: visit URL")
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	go func() {
		defer close(stopped)
		atOnce := make(chan struct{}, 32)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			select {
			case atOnce <- struct{}{}:
				go func() {
					defer func() { <-atOnce }()
					answer, err := client.Get(args[0])
					if err == nil {
						_, _ = io.Copy(io.Discard, answer.Body)
						answer.Body.Close()
					}
				}()
			default: // nobody waits for a slow answer
			}
		}
	}()
	ts.Defer(func() {
		close(stop)
		<-stopped
		client.CloseIdleConnections()
	})
}

// The program is one static file: nothing has to be there to start it.
func TestTheProgramNeedsNothingElse(t *testing.T) {
	f, err := elf.Open(filepath.Join(bin, "serin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it needs %q, %v", libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic loader")
		}
	}
}
