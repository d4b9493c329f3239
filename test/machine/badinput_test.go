package machine

import (
	"bytes"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look like a newer version's database
)

// What is wrong in a file is told with file, line and field, and starts
// nothing; exit code 4.
func TestFilesThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change [2]string
		says   []string
	}{
		"an unknown field":        {[2]string{"  plan:\n", "  plam: {}\n  plan:\n"}, []string{"shop.yaml:12:3", "spec.plam", "plan"}},
		"two workload adapters":   {[2]string{"  workload:\n", "  workload:\n    endpoints: {stable: {version: v1, urls: [\"http://127.0.0.1:1\"]}}\n"}, []string{"shop.yaml:", "spec.workload", "endpoints", "process"}},
		"weights not rising":      {[2]string{"weight: 50", "weight: 10"}, []string{"shop.yaml:13:", "spec.plan.phases[1].weight", "10"}},
		"a duration without unit": {[2]string{"drain: 10s", "drain: 10"}, []string{"shop.yaml:14:", "spec.plan.drain"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.write(plan{})
			good, err := os.ReadFile(h.file)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(good), c.change[0], c.change[1], 1)
			if text == string(good) {
				t.Fatal("nothing was changed")
			}
			h.writeFile(text)
			for _, args := range [][]string{{"run", "-f", h.file}, {"serve", "-f", filepath.Dir(h.file)}, {"lint", "-f", h.file}} {
				code, out, errs := h.serin(args...)
				if code != 4 {
					t.Errorf("%s exits with %d: %s%s", args[0], code, out, errs)
				}
				for _, want := range c.says {
					if !strings.Contains(out+errs, want) {
						t.Errorf("%s does not say %q: %s%s", args[0], want, out, errs)
					}
				}
			}
			h.nothingRuns()
		})
	}
}

// A release that cannot begin, or whose canary cannot work, says why; stable is
// not touched by it.
func TestReleasesThatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		plan plan
		code int
		says []string
	}{
		"the canary's program is missing": {plan{}, 2, []string{"no-such-program", "build it, or correct command"}},
		"the canary exits at once":        {plan{canary: "-exits"}, 2, []string{"status 7", "panic: the recommendations are nil"}},
		"readiness is never true":         {plan{canary: "-never-ready", planExtra: "prepare: 6s"}, 2, []string{"not ready", "503", "waited 6"}},
		"stable's program is missing":     {plan{}, 5, []string{"stable v1 of shop cannot run", "no-such-program"}},
		"stable exits at once":            {plan{stable: "-exits"}, 5, []string{"stable v1 of shop cannot run", "status 7"}},
		"stable is never ready":           {plan{stable: "-never-ready", planExtra: "prepare: 4s"}, 5, []string{"stable is not serving yet; the run begins when it does", "stable v1 of shop is not serving after 4s", "503"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.write(c.plan)
			if strings.Contains(name, "missing") {
				text, err := os.ReadFile(h.file)
				if err != nil {
					t.Fatal(err)
				}
				self := `"` + h.argv("", "")[0] + `"`
				parts := strings.Split(string(text), self)
				if len(parts) != 3 {
					t.Fatalf("the file names the program %d times", len(parts)-1)
				}
				first, second := self, `"./no-such-program"`
				if c.code == 5 {
					first, second = second, first
				}
				h.writeFile(parts[0] + first + parts[1] + second + parts[2])
			}
			run := h.start("run", "-f", h.file, "--keep")
			if c.code == 2 {
				v := visit(t, h.addr)
				run.endsUnseen(v, 2)
				if n := count(v.seen(time.Time{}, time.Time{}), "v2"); n > 0 {
					t.Errorf("a canary that never was ready answered %d requests", n)
				}
				h.replays(h.archivedRun())
			}
			run.wants(c.code)
			for _, want := range c.says {
				if !strings.Contains(run.err.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, run.err)
				}
			}
			h.nothingRuns()
		})
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	taken, err := net.Listen("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, args := range [][]string{{"run", "-f", h.file}, {"serve", "-f", h.file}} {
		code, out, errs := h.serin(args...)
		if code != 5 || !strings.Contains(errs, h.addr) || !strings.Contains(errs, "spec.traffic.proxy.listen") {
			t.Errorf("%s exits with %d:\n%s%s", args[0], code, out, errs)
		}
	}
	h.nothingRuns() // not even stable: the program has never served
}

// Two rollouts of one folder want the same address, as two files do that do not name
// one: both are named, before anything is started.
func TestTwoRolloutsOnOneAddress(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	text, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(h.file), "tools.yaml")
	if err := os.WriteFile(other, bytes.Replace(text, []byte("name: shop"), []byte("name: tools"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"lint", "-f", filepath.Dir(h.file)}, {"serve", "-f", filepath.Dir(h.file)}} {
		code, out, errs := h.serin(args...)
		for _, want := range []string{h.addr, filepath.Base(h.file), "tools.yaml", "spec.traffic.proxy.listen", "another port"} {
			if code != 4 || !strings.Contains(out+errs, want) {
				t.Errorf("%s exits with %d and does not say %q:\n%s%s", args[0], code, want, out, errs)
			}
		}
	}
	h.nothingRuns()
}

func TestASecondRunOfTheSameRollout(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 10m}]"})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("weight 20 %")
	code, _, errs := h.serin("run", "-f", h.file)
	if code != 4 || !strings.Contains(errs, "another serin runs shop already") || !strings.Contains(errs, "SERIN_STATE") {
		t.Errorf("the second run exits with %d: %s", code, errs)
	}
	if run.ended() {
		t.Error("the first run has ended")
	}
	v.sees("v2")
	if code, _, _ := h.serin("rollback", "shop", "--wait"); code != 2 {
		t.Errorf("the rollback exits with %d", code)
	}
	run.endsUnseen(v, 2)
}

// A state folder of a newer version is refused and left as it is.
func TestADatabaseOfANewerVersion(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 50, duration: 1s}]"})
	run := h.start("run", "-f", h.file)
	visit(t, h.addr)
	run.wants(0)
	path := filepath.Join(h.state, "serin.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 4711"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "-f", h.file}, {"serve", "-f", h.file}, {"history", "shop"}, {"get"}} {
		code, out, errs := h.serin(args...)
		if code != 5 || !strings.Contains(errs, path) || !strings.Contains(errs, "newer") {
			t.Errorf("%s exits with %d:\n%s%s", args[0], code, out, errs)
		}
	}
	h.nothingRuns()
}

func TestInputOfOtherCommands(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	missing := filepath.Join(h.dir, "missing.yaml")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a file that is not there":   {[]string{"run", "-f", missing}, 4, missing},
		"a folder that is not there": {[]string{"serve", "-f", missing}, 4, missing},
		"a folder without rollouts":  {[]string{"serve", "-f", h.t.TempDir()}, 4, ".yaml"},
		"no file":                    {[]string{"run"}, 4, "--file is missing"},
		"no daemon":                  {[]string{"promote", "shop"}, 5, "serin serve"},
		"a record that is not there": {[]string{"replay", missing}, 4, missing},
	} {
		if code, out, errs := h.serin(c.args...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exits with %d and not %d, or does not say %q:\n%s%s", name, code, c.code, c.says, out, errs)
		}
	}
}
