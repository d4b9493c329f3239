package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
	"serin.dev/serin/internal/workload/workloadtest"
)

// managerArg as first argument makes the test binary a Serin in miniature: it
// opens the workload of a folder, applies a want, and lives until it is killed.
const managerArg = "serin-process-manager"

func TestMain(m *testing.M) {
	workloadtest.MaybeSample()
	if len(os.Args) == 4 && os.Args[1] == managerArg {
		manage(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

func manage(dir, want string) {
	var cfg process.Config
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	var wanted workload.Want
	if err == nil {
		err = json.Unmarshal([]byte(want), &wanted)
	}
	var w *process.Workload
	if err == nil {
		w, err = process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state")})
	}
	if err == nil {
		err = w.Apply(context.Background(), wanted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("applied")
	time.Sleep(time.Minute)
}

// sample is the command of the sample server with faults.
func sample(faults ...string) []string {
	return append([]string{os.Args[0], workloadtest.SampleArg, "-listen", "$(ADDR)", "-version", "$(VERSION)"}, faults...)
}

// config is a quick one: short intervals, both versions the sample server.
func config() process.Config {
	cfg := *process.NewConfig().(*process.Config)
	cfg.Stable = process.Version{Version: "v1", Command: sample()}
	cfg.Canary = process.Version{Version: "v2", Command: sample()}
	cfg.Readiness.Path = "/healthz"
	cfg.Readiness.Interval = rollout.Duration(20 * time.Millisecond)
	cfg.Readiness.Timeout = rollout.Duration(5 * time.Second) // of a busy machine
	cfg.Restart.Backoff = rollout.Duration(10 * time.Millisecond)
	cfg.Restart.MaxBackoff = rollout.Duration(100 * time.Millisecond)
	cfg.Stop.Grace = rollout.Duration(10 * time.Second)
	return cfg
}

const patience = 30 * time.Second

// open opens the workload of dir and stops everything when the test ends.
func open(t *testing.T, cfg process.Config, dir string) *process.Workload {
	t.Helper()
	w, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state"), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		stopLeftovers(t, cfg, dir)
	})
	return w
}

// stopLeftovers ends what a test left running in dir, whoever ran it.
func stopLeftovers(t *testing.T, cfg process.Config, dir string) {
	t.Helper()
	cfg.Stop.Grace = 0
	w, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state"), Fresh: true})
	if err != nil {
		t.Errorf("opening to clean up: %v", err)
		return
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.StopAll(ctx); err != nil {
		t.Error(err)
	}
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func apply(t *testing.T, w *process.Workload, want workload.Want) {
	t.Helper()
	if err := w.Apply(t.Context(), want); err != nil {
		t.Fatalf("Apply(%+v): %v", want, err)
	}
}

// until waits until the status is as described.
func until(t *testing.T, w *process.Workload, what string, ok func(workload.Status) bool) workload.Status {
	t.Helper()
	var last workload.Status
	eventually(t, what, func() (bool, string) {
		st, err := w.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = st
		return ok(st), fmt.Sprintf("status %+v", st)
	})
	return last
}

func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v; %s", what, patience, state)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func stableReady(st workload.Status) bool { return st.Stable.Capacity == 100 }
func bothReady(st workload.Status) bool {
	return st.Stable.Capacity == 100 && st.Canary.Capacity == 100
}

func get(t *testing.T, url string) string {
	t.Helper()
	body, err := tryGet(url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func tryGet(url string) (string, error) {
	res, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func fault(t *testing.T, i rollout.Instance, name, value string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.PostForm(i.URL+"/fault", url.Values{name: {value}})
	if err != nil {
		if name == "exit" {
			return // it may be gone before it answers
		}
		t.Fatal(err)
	}
	res.Body.Close()
}

func pidOf(t *testing.T, i rollout.Instance) int {
	t.Helper()
	pid, err := strconv.Atoi(get(t, i.URL+"/pid"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// processState is the letter that the kernel gives: "" when there is none, Z
// for a zombie.
func processState(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return after[:1]
}

// gone says whether a process has ended. Whether its parent has waited for it
// is a question for zombies: an orphan's parent is this machine's first process.
func gone(pid int) bool {
	s := processState(pid)
	return s == "" || s == "Z"
}

// zombies counts this process's dead children that nobody has waited for.
func zombies(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		data, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, after, ok := strings.Cut(string(data), ") ")
		if fields := strings.Fields(after); ok && len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

// startManager runs the workload of dir in a process of its own and returns
// once it has applied want.
func startManager(t *testing.T, cfg process.Config, dir string, want workload.Want) *exec.Cmd {
	t.Helper()
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], managerArg, dir, string(wanted))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill9(cmd) })
	line := make([]byte, len("applied\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatalf("the manager did not start: %v", err)
	}
	return cmd
}

func kill9(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	_ = cmd.Wait()
}
