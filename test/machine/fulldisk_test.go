package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullness fills the disk of the state folder and empties it again.
type fullness struct {
	h *home
	// mounted: the state folder is a small disk. Otherwise the program's files
	// are kept from growing.
	mounted bool
}

// onSmallDisk puts the state folder onto a small disk of its own. Where that is
// not permitted, the program's files are kept from growing instead: the same
// errors by another way.
func (h *home) onSmallDisk() *fullness {
	h.t.Helper()
	if err := os.Mkdir(h.state, 0o700); err != nil {
		h.t.Fatal(err)
	}
	err := unix.Mount("tmpfs", h.state, "tmpfs", 0, "size=8m")
	switch {
	case err == nil:
		h.t.Cleanup(func() {
			h.killInstances()
			if err := unix.Unmount(h.state, unix.MNT_DETACH); err != nil {
				h.t.Errorf("unmount: %v", err)
			}
		})
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		h.t.Logf("no small disk can be mounted (%v); the files of serin are kept from growing", err)
	default:
		h.t.Fatalf("mount a small disk: %v", err)
	}
	return &fullness{h: h, mounted: err == nil}
}

func (f *fullness) fill(p *program) {
	f.h.t.Helper()
	if !f.mounted {
		f.limit(p, 1)
		return
	}
	file, err := os.Create(filepath.Join(f.h.state, "ballast"))
	if err != nil {
		f.h.t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			f.h.t.Fatal(err)
		}
	}
}

func (f *fullness) empty(p *program) {
	f.h.t.Helper()
	if !f.mounted {
		f.limit(p, unix.RLIM_INFINITY)
		return
	}
	if err := os.Remove(filepath.Join(f.h.state, "ballast")); err != nil {
		f.h.t.Fatal(err)
	}
}

func (f *fullness) limit(p *program, size uint64) {
	f.h.t.Helper()
	limit := unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		f.h.t.Fatal(err)
	}
}

// On a full disk the weight is not raised and people are told why; when there is
// room again the run goes on to its end.
func TestAFullDiskHoldsTheWeight(t *testing.T) {
	h := newHome(t)
	disk := h.onSmallDisk()
	h.write(plan{phases: "[{weight: 20, duration: 2s}, {weight: 60, duration: 1s}]"})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("weight 20 %")
	disk.fill(run)
	full := time.Now()
	time.Sleep(5 * time.Second)
	raised := time.Now()
	if seen := v.seen(full, raised); share(seen, "v2") > 28 {
		t.Errorf("the canary answered %.0f %% of %d requests while nothing could be written", share(seen, "v2"), len(seen))
	}
	code, out, errs := h.serin("describe", "shop")
	if code != 0 || !strings.Contains(out+errs, "no space left") {
		t.Errorf("describe exits with %d and does not say why the weight stays:\n%s%s", code, out, errs)
	}
	disk.empty(run)
	run.endsUnseen(v, 0)
	h.runsAreWhole()
}

// On a full disk a rollback is carried out at once, whoever wants it; what is to be
// kept of the canary is kept when there is room again.
func TestAFullDiskDoesNotHinderARollback(t *testing.T) {
	for name, rollBack := range map[string]func(h *home, broken string){
		"by the judge": func(h *home, broken string) {
			if err := os.WriteFile(broken, nil, 0o600); err != nil {
				h.t.Fatal(err)
			}
		},
		"by a person": func(h *home, _ string) {
			begun := time.Now()
			code, out, errs := h.serin("rollback", "shop", "--reason", "support calls")
			if code != 0 {
				h.t.Errorf("serin rollback exits with %d after %s:\n%s%s", code, time.Since(begun), out, errs)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			disk := h.onSmallDisk()
			broken := filepath.Join(h.dir, "broken")
			h.write(plan{canary: "-broken-when " + broken, phases: "[{weight: 50, duration: 10m}]"})
			run := h.start("run", "-f", h.file, "--keep")
			v := visit(t, h.addr)
			run.says("weight 50 %")
			v.sees("v2")
			disk.fill(run)
			time.Sleep(time.Second)
			if n := count(v.seen(time.Now().Add(-time.Second), time.Time{}), "v2"); n == 0 {
				t.Error("the canary gets nothing although only the disk is full")
			}
			rollBack(h, broken)
			eventually(t, "stable to answer everything", func() bool {
				recent := v.seen(time.Now().Add(-time.Second), time.Time{})
				return len(recent) > 30 && count(recent, "v2") == 0
			})
			if run.ended() {
				t.Errorf("the program ended before it could write down that it rolled back")
			}
			disk.empty(run)
			run.endsUnseen(v, 2)
			h.nothingRuns()
			h.runsAreWhole()
			for _, kept := range []string{"evidence.json", "logs/*v2*"} {
				if found, err := filepath.Glob(filepath.Join(h.state, "archive", "shop", "*", kept)); err != nil || len(found) == 0 {
					t.Errorf("%s is not in the archive (%v)", kept, err)
				}
			}
		})
	}
}
