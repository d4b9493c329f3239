package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/test/plane/ports"
)

// patience bounds every wait for something that is to happen: far longer than
// it takes on a quiet machine.
const patience = 60 * time.Second

// atOnce bounds how many tests have servers and load at the same time.
var atOnce = make(chan struct{}, 2)

// home is a state folder, a file with the rollout shop, and a port for its
// users. What the test leaves running is killed at its end.
type home struct {
	t     *testing.T
	id    string
	dir   string
	state string
	file  string
	addr  string
	env   []string
}

func newHome(t *testing.T) *home {
	t.Helper()
	t.Parallel()
	atOnce <- struct{}{}
	t.Cleanup(func() { <-atOnce })
	dir := t.TempDir()
	h := &home{
		t: t, id: filepath.Base(filepath.Dir(dir)) + fmt.Sprint(os.Getpid()), dir: dir,
		state: filepath.Join(dir, "state"), file: filepath.Join(dir, "rollouts", "shop.yaml"), addr: ports.Keep(t),
	}
	t.Cleanup(h.killInstances)
	if err := os.Mkdir(filepath.Dir(h.file), 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

// plan is what differs between the tests' rollouts.
type plan struct {
	// stable and canary are flags of the sample server for either version.
	stable, canary string
	phases         string // default: two short ones
	checks         string // default: errors
	interval       string // default: 250ms
	process        string // more of spec.workload.process, behind its last line
	planExtra      string // more lines of spec.plan
	extra          string // more lines of spec
}

// write writes the rollout's file: v1 serves and v2 is the candidate.
func (h *home) write(p plan) {
	h.t.Helper()
	or := func(s, instead string) string {
		if s == "" {
			return instead
		}
		return s
	}
	h.writeFile(fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    process:
      stable: {version: v1, command: %s}
      canary: {version: v2, command: %s}
      readiness: {path: /healthz, interval: 250ms}
      stop: {grace: 5s}%s
  traffic: {proxy: {listen: "%s"}}
  plan:
    phases: %s
    drain: 10s
%s
  analysis:
    interval: %s
    checks: %s
%s`,
		h.command("v1", p.stable), h.command("v2", p.canary), p.process, h.addr,
		or(p.phases, "[{weight: 20, duration: 1s}, {weight: 50, duration: 1s}]"), indent(4, p.planExtra),
		or(p.interval, "250ms"), or(p.checks, "[{name: errors, type: errorRate}]"), indent(2, p.extra)))
}

func (h *home) writeFile(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func indent(n int, text string) string {
	if text == "" {
		return ""
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+pad)
}

// command is the argv of a version of the sample server, as YAML.
func (h *home) command(version, flags string) string {
	quoted := make([]string, 0, 12)
	for _, arg := range h.argv(version, flags) {
		quoted = append(quoted, fmt.Sprintf("%q", arg))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (h *home) argv(version, flags string) []string {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	return append([]string{self, sampleArg, "-listen", "$(ADDR)", "-version", version}, strings.Fields(flags)...)
}

// program is one call of serin.
type program struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *journal
	err  *journal
	done chan struct{}
	code int // readable after done
}

// start starts serin with arguments; it is killed at the end of the test.
func (h *home) start(args ...string) *program {
	h.t.Helper()
	return h.startBy(nil, nil, args...)
}

// startBy starts the program by another one, which becomes it, with files passed
// on.
func (h *home) startBy(other []string, files []*os.File, args ...string) *program {
	h.t.Helper()
	p := &program{t: h.t, name: "serin " + strings.Join(args, " "), out: newJournal(h.t), err: newJournal(h.t), done: make(chan struct{})}
	argv := append(slices.Clone(other), append([]string{binary}, args...)...)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.ExtraFiles = files
	p.cmd.Dir = h.dir
	p.cmd.Stdout, p.cmd.Stderr = p.out.file, p.err.file
	p.cmd.Env = h.environ()
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if h.t.Failed() {
			h.t.Logf("%s\nstdout:\n%s\nstderr:\n%s", p.name, p.out, p.err)
		}
	})
	return p
}

func (h *home) environ() []string {
	return append(os.Environ(), append([]string{
		"SERIN_STATE=" + h.state, "HOME=" + h.dir, "TERM=dumb",
		fmt.Sprintf("%s=%d", ownerEnv, os.Getpid()), testEnv + "=" + h.id,
	}, h.env...)...)
}

// wait returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(2 * patience):
		p.t.Fatalf("%s has not ended", p.name)
		return -1
	}
}

// wants waits for the end with an exit code.
func (p *program) wants(code int) {
	p.t.Helper()
	if got := p.wait(); got != code {
		p.t.Fatalf("%s exits with %d, not %d:\n%s%s", p.name, got, code, p.out, p.err)
	}
}

// endsUnseen waits for the end of a run that goes on serving, asserts that no
// visitor noticed anything of it, and ends the program.
func (p *program) endsUnseen(v *visitors, code int) {
	p.t.Helper()
	p.says(map[int]string{0: "promoted after", 2: "rolled back after"}[code])
	from := time.Now()
	eventually(p.t, "requests after the end", func() bool { return len(v.seen(from, time.Time{})) > 50 })
	v.stop()
	v.noneFailed()
	if !p.ended() { // a release ends by itself
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	p.wants(code)
}

func (p *program) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill kills the program as a crash does, and waits until it is gone.
func (p *program) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// says waits until a text has been written to stderr and returns when that was.
func (p *program) says(text string) time.Time {
	p.t.Helper()
	var at time.Time
	eventually(p.t, fmt.Sprintf("%s to say %q", p.name, text), func() bool {
		var ok bool
		if at, ok = p.err.when(text); ok {
			return true
		}
		if p.ended() {
			if at, ok = p.err.when(text); !ok {
				p.t.Fatalf("%s ended with %d and did not say %q:\n%s", p.name, p.code, text, p.err)
			}
			return ok
		}
		return false
	})
	return at
}

// serin runs a command to its end and returns its exit code and output.
func (h *home) serin(args ...string) (code int, out, errs string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = h.dir, &stdout, &stderr, h.environ()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("serin %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// must runs a command that has to exit with 0 and returns its output.
func (h *home) must(args ...string) string {
	h.t.Helper()
	code, out, errs := h.serin(args...)
	if code != 0 {
		h.t.Fatalf("serin %s exits with %d:\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// pids returns the processes of a version.
func (h *home) pids(version string) []int {
	found := instances(h.id)[version]
	slices.Sort(found)
	return found
}

// onlyPid returns the process of a version that must have one.
func (h *home) onlyPid(version string) int {
	h.t.Helper()
	var found []int
	eventually(h.t, "one process of "+version, func() bool {
		found = h.pids(version)
		return len(found) == 1
	})
	return found[0]
}

// nothingRuns asserts that no server of the test is left.
func (h *home) nothingRuns() {
	h.t.Helper()
	eventually(h.t, "every server to be gone", func() bool { return len(instances(h.id)) == 0 })
}

// onlyRuns asserts that servers of exactly one version are left.
func (h *home) onlyRuns(version string) {
	h.t.Helper()
	eventually(h.t, "only "+version+" to be left", func() bool {
		left := instances(h.id)
		return len(left) == 1 && len(left[version]) == 1
	})
}

func (h *home) killInstances() {
	for range 20 {
		left := instances(h.id)
		if len(left) == 0 {
			return
		}
		for _, pid := range slices.Concat(slices.Collect(maps.Values(left))...) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Errorf("servers are left: %v", instances(h.id))
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}
