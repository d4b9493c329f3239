package machine

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/test/plane/ports"
)

// serve starts the daemon and waits until it serves.
func (h *home) serve() *program {
	h.t.Helper()
	d := h.start("serve", "-f", filepath.Dir(h.file))
	d.says("users are served at")
	return d
}

// releaseArgs are the arguments of a release of a version of the sample server.
func (h *home) releaseArgs(version, flags string) []string {
	return append([]string{"release", "shop", "--version", version, "--"}, h.argv(version, flags)...)
}

func TestAReleaseOutlivesRestartsOfTheDaemon(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 3s}, {weight: 50, duration: 1s}]"})
	daemon := h.serve()
	visit(t, h.addr)
	stable := h.onlyPid("v1")

	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	canary := h.onlyPid("v2")
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
	for version, pid := range map[string]int{"v1": stable, "v2": canary} {
		r, err := ask(http.DefaultClient, "http://"+addressOf(t, pid)+"/")
		if err != nil || r.pid != fmt.Sprint(pid) {
			t.Errorf("without the daemon, %s (%d) does not answer: %v, %v", version, pid, r, err)
		}
	}

	// Killed this time, and in the middle of what it had taken over.
	daemon = h.serve()
	daemon.kill()
	daemon = h.serve()
	release.wants(0)
	h.onlyRuns("v2")
	if now := h.onlyPid("v2"); now != canary {
		t.Errorf("process %d serves, and %d was tested", now, canary)
	}
	if text := release.err.String(); strings.Count(text, "promoted after") != 1 {
		t.Errorf("the release tells of its end:\n%s", text)
	}

	// What was promoted is what serves from now on, whatever the file calls
	// stable.
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
	daemon = h.serve()
	after := visit(t, h.addr)
	after.sees("v2")
	h.onlyRuns("v2")
	if now := h.onlyPid("v2"); now != canary {
		t.Errorf("after another restart process %d serves, not %d", now, canary)
	}
	eventually(t, "a hundred requests", func() bool { return len(after.seen(time.Time{}, time.Time{})) > 100 })
	after.stop()
	after.noneFailed()
	if got := count(after.seen(time.Time{}, time.Time{}), "v1"); got > 0 {
		t.Errorf("v1 answered %d requests after v2 was promoted", got)
	}
	if code, _, errs := h.serin("release", "shop", "--version", "v2"); code != 0 || !strings.Contains(errs, "nothing to do") {
		t.Errorf("a release of what serves exits with %d: %s", code, errs)
	}
	h.runsAreWhole()
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
	h.onlyRuns("v2") // the daemon leaves what serves running
}

func TestReleasesThatCannotBe(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 10m}]"})
	code, _, errs := h.serin(h.releaseArgs("v2", "")...)
	if code != 5 || !strings.Contains(errs, "serin serve -f DIR") {
		t.Errorf("without a daemon a release exits with %d: %s", code, errs)
	}
	daemon := h.serve()
	v := visit(t, h.addr)
	if code, _, errs = h.serin("release", "cart", "--version", "v2"); code != 4 || !strings.Contains(errs, `"cart"`) || !strings.Contains(errs, "shop") {
		t.Errorf("a release of an unknown rollout exits with %d: %s", code, errs)
	}
	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	code, _, errs = h.serin(h.releaseArgs("v3", "")...)
	if code != 4 || !strings.Contains(errs, "has not ended") || !strings.Contains(errs, "serin rollback shop") {
		t.Errorf("a second release exits with %d: %s", code, errs)
	}
	if len(h.pids("v3")) > 0 {
		t.Error("the refused version was started")
	}
	if code, _, errs = h.serin("serve", "-f", filepath.Dir(h.file)); code != 4 || !strings.Contains(errs, "another serin") {
		t.Errorf("a second daemon exits with %d: %s", code, errs)
	}
	if code, _, errs = h.serin("run", "-f", h.file); code != 4 || !strings.Contains(errs, "another serin runs shop already") {
		t.Errorf("a run beside the daemon exits with %d: %s", code, errs)
	}
	if code, _, _ := h.serin("rollback", "shop", "--wait", "--reason", "seen enough"); code != 2 {
		t.Errorf("a rollback that waits exits with %d", code)
	}
	release.wants(2)
	if !strings.Contains(release.err.String(), "seen enough") {
		t.Errorf("the release does not say why it was rolled back:\n%s", release.err)
	}

	// A version whose program is not there, or that ends at once, is rolled
	// back; stable does not notice.
	for name, argv := range map[string][]string{
		"missing program":  {"release", "shop", "--version", "v4", "--", "./no-such-program"},
		"ends at once":     h.releaseArgs("v5", "-exits"),
		"program's absent": {"release", "shop", "--version", "v6", "--", "no-such-program-in-path"},
	} {
		code, _, errs := h.serin(argv...)
		if code != 2 {
			t.Errorf("%s: exits with %d: %s", name, code, errs)
		}
		if !strings.Contains(errs, "no-such-program") && !strings.Contains(errs, "panic: the recommendations are nil") {
			t.Errorf("%s: it does not say what happened: %s", name, errs)
		}
	}
	h.onlyRuns("v1")
	v.stop()
	v.noneFailed()
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
}

func TestAReleaseReturnsWhenTheOldVersionIsDrained(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 2s}]"})
	daemon := h.serve()
	v := visit(t, h.addr)
	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	type finished struct {
		at      time.Time
		version string
		err     error
	}
	// Long enough that they are under way at the promotion.
	const slow = 6
	ends := make(chan finished, slow)
	for range slow {
		go func() {
			r, err := ask(&http.Client{Timeout: patience}, "http://"+h.addr+"/?for=6s")
			ends <- finished{time.Now(), r.version, err}
		}()
	}
	release.wants(0)
	returned := time.Now()
	for range slow {
		f := <-ends
		if f.err != nil {
			t.Errorf("a request of the old version was cut off: %v", f.err)
		}
		// A request that v2 answers may end later: it is not drained.
		if f.version == "v1" && f.at.After(returned.Add(3*time.Second)) {
			t.Errorf("a request of the old version ended %s after the release returned", f.at.Sub(returned))
		}
	}
	if len(h.pids("v1")) > 0 {
		t.Error("v1 still runs after the release has returned")
	}
	v.stop()
	v.noneFailed()
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
}

// daemons returns the process ids of a test's daemons.
func daemons(id string) []int {
	var found []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00"+testEnv+"="+id+"\x00") {
			continue
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if args := strings.Split(string(cmdline), "\x00"); len(args) > 1 && args[0] == binary && args[1] == "serve" {
			found = append(found, pid)
		}
	}
	return found
}

// successor waits until another daemon than pid is the only one.
func (h *home) successor(pid int) int {
	h.t.Helper()
	var found []int
	eventually(h.t, "a successor to be alone", func() bool {
		found = daemons(h.id)
		return len(found) == 1 && found[0] != pid
	})
	h.t.Cleanup(func() { _ = syscall.Kill(found[0], syscall.SIGKILL) })
	return found[0]
}

func TestAHandoverDropsNothing(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 8s}, {weight: 50, duration: 4s}]"})
	daemon := h.serve()
	v := visit(t, h.addr)
	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	stable, canary := h.onlyPid("v1"), h.onlyPid("v2")
	inFlight := make(chan error, 1)
	go func() {
		_, err := ask(&http.Client{Timeout: patience}, "http://"+h.addr+"/?for=3s")
		inFlight <- err
	}()
	time.Sleep(200 * time.Millisecond)

	first := daemon.cmd.Process.Pid
	daemon.signal(syscall.SIGHUP)
	second := h.successor(first)
	daemon.wants(0)
	if err := <-inFlight; err != nil {
		t.Errorf("a request under way at the handover: %v", err)
	}
	if now := h.pids("v1"); len(now) != 1 || now[0] != stable {
		t.Errorf("stable's processes are %v after the handover, and were %d", now, stable)
	}

	// A file that cannot be read ends nothing: the one that serves goes on.
	good, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	h.writeFile("kind: Nonsense\n")
	if err := syscall.Kill(second, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failed handover to be told", func() bool {
		return strings.Contains(daemon.err.String(), "the handover did not work")
	})
	h.writeFile(string(good))
	if now := daemons(h.id); len(now) != 1 || now[0] != second {
		t.Errorf("daemons %v run after a failed handover, and %d ran before", now, second)
	}

	release.wants(0)
	h.onlyRuns("v2")
	if now := h.onlyPid("v2"); now != canary {
		t.Errorf("process %d serves, and %d was tested", now, canary)
	}

	// Once more, between runs.
	if err := syscall.Kill(second, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	third := h.successor(second)
	v.sees("v2")
	from := time.Now()
	eventually(t, "a hundred requests at the last daemon", func() bool { return len(v.seen(from, time.Time{})) > 100 })
	v.stop()
	v.noneFailed()
	h.runsAreWhole()
	if err := syscall.Kill(third, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last daemon to end", func() bool { return len(daemons(h.id)) == 0 })
}

func TestAReloadLeavesAddressesThatNoFileNames(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	text, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	was, cart := h.addr, ports.Keep(t)
	other := filepath.Join(filepath.Dir(h.file), "cart.yaml")
	if err := os.WriteFile(other, []byte(strings.NewReplacer("name: shop", "name: cart", was, cart).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := h.serve()
	for _, address := range []string{was, cart} {
		eventually(t, address+" to answer", func() bool {
			_, err := ask(http.DefaultClient, "http://"+address+"/")
			return err == nil
		})
	}

	stays := ""
	if r, err := ask(http.DefaultClient, "http://"+was+"/"); err == nil {
		stays = r.pid
	}
	h.addr = ports.Keep(t)
	h.write(plan{})
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	inFlight := make(chan error, 1)
	go func() {
		_, err := ask(&http.Client{Timeout: patience}, "http://"+cart+"/?for=3s")
		inFlight <- err
	}()
	time.Sleep(200 * time.Millisecond)
	first := daemon.cmd.Process.Pid
	daemon.signal(syscall.SIGHUP)
	second := h.successor(first)
	daemon.wants(0)
	if err := <-inFlight; err != nil {
		t.Errorf("a request under way at the rollout that no file names any more: %v", err)
	}
	if left := h.pids("v1"); len(left) != 1 || fmt.Sprint(left[0]) != stays {
		t.Errorf("the processes %v are left, want %s alone: nobody watches the others", left, stays)
	}
	eventually(t, "the address that the file names now to answer", func() bool {
		_, err := ask(http.DefaultClient, "http://"+h.addr+"/")
		return err == nil
	})
	for _, address := range []string{was, cart} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			t.Errorf("connections to %s, which no file names any more, are still taken", address)
		}
	}
	if err := syscall.Kill(second, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to end", func() bool { return len(daemons(h.id)) == 0 })
}

// A successor that serves is killed while its predecessor still waits for a last
// request: nobody ends the processes of a rollout that is in a file, and the next
// daemon goes on with them.
func TestASuccessorThatIsKilledLeavesItsProcesses(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	daemon := h.serve()
	was := h.onlyPid("v1")
	eventually(t, "the service to answer", func() bool {
		_, err := ask(http.DefaultClient, "http://"+h.addr+"/")
		return err == nil
	})
	inFlight, arrived := make(chan error, 1), time.Now()
	go func() {
		_, err := ask(&http.Client{Timeout: patience}, "http://"+h.addr+"/?for=5s")
		inFlight <- err
	}()
	time.Sleep(200 * time.Millisecond)
	first := daemon.cmd.Process.Pid
	daemon.signal(syscall.SIGHUP)
	var second int
	eventually(t, "a successor beside its predecessor", func() bool {
		for _, pid := range daemons(h.id) {
			if pid != first {
				second = pid
			}
		}
		return second != 0 && strings.Count(daemon.err.String(), "users are served at") > 1
	})
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if since := time.Since(arrived); since > 4*time.Second {
		t.Skipf("the machine is too slow: the successor came up %s after the request", since)
	}
	daemon.wants(0)
	if err := <-inFlight; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if now := h.pids("v1"); len(now) != 1 || now[0] != was {
		t.Errorf("the processes %v are left, want %d: it is in a file", now, was)
	}
	again := h.serve()
	if now := h.onlyPid("v1"); now != was {
		t.Errorf("the next daemon serves with process %d, want %d", now, was)
	}
	again.signal(syscall.SIGTERM)
	again.wants(0)
}

// A rollout whose run goes on cannot be taken away: the reload is refused and says
// what to do, and nothing has changed for anybody. Afterwards it can.
func TestARolloutWithARunIsNotTakenAway(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 10m}]"})
	text, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(h.file), "cart.yaml")
	if err := os.WriteFile(other, []byte(strings.NewReplacer("name: shop", "name: cart", h.addr, ports.Keep(t)).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := h.serve()
	v := visit(t, h.addr)
	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	if err := os.Remove(h.file); err != nil {
		t.Fatal(err)
	}
	first := daemon.cmd.Process.Pid
	daemon.signal(syscall.SIGHUP)
	daemon.says("the handover did not work")
	if said := daemon.err.String(); !strings.Contains(said, "shop is in no file any more") || !strings.Contains(said, "serin rollback shop") {
		t.Errorf("it does not say why, and what to do:\n%s", said)
	}
	v.sees("v2") // the run goes on
	h.must("rollback", "shop", "--reason", "its file is gone")
	release.wants(2)
	v.stop()
	v.noneFailed()

	daemon.signal(syscall.SIGHUP)
	second := h.successor(first)
	daemon.wants(0)
	h.onlyRuns("v1") // cart's
	if out := h.must("get"); strings.Contains(out, "shop") || !strings.Contains(out, "cart") {
		t.Errorf("get says:\n%s", out)
	}
	if err := syscall.Kill(second, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to end", func() bool { return len(daemons(h.id)) == 0 })
}

// A successor did not come up, and somebody else has what it would have taken:
// the program that goes on serving does not go on without its state.
func TestADaemonTakesItsStateBackHoweverLongItTakes(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	daemon := h.serve()
	v := visit(t, h.addr)
	good, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	h.writeFile("kind: Nonsense\n")
	lock, err := os.OpenFile(filepath.Join(h.state, "rollouts", "shop", "owner.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	// Who waits for the lock has it before a program that tries again later.
	taken := make(chan error, 1)
	go func() { taken <- syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) }()
	daemon.signal(syscall.SIGHUP)
	select {
	case err := <-taken:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the daemon did not let go of its rollout")
	}
	daemon.says("cannot be taken back")
	h.writeFile(string(good))
	lock.Close()
	daemon.says("the handover did not work")
	if code, _, errs := h.serin(h.releaseArgs("v2", "")...); code != 0 {
		t.Errorf("a release afterwards exits with %d: %s", code, errs)
	}
	v.stop()
	v.noneFailed()
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
}

func TestAReleaseOfAStableThatIsDown(t *testing.T) {
	h := newHome(t)
	h.write(plan{stable: "-exits"})
	daemon := h.serve()
	code, _, errs := h.serin(h.releaseArgs("v2", "")...)
	if code != 5 || !strings.Contains(errs, "no ready instance of v1") || !strings.Contains(errs, "panic: the recommendations are nil") {
		t.Errorf("the release exits with %d: %s", code, errs)
	}
	if len(h.pids("v2")) > 0 {
		t.Error("the canary was started")
	}
	if out := h.must("get"); !strings.Contains(out, "stable cannot run") {
		t.Errorf("get does not say that stable is down:\n%s", out)
	}
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)
}
