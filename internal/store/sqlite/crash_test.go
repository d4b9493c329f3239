package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/sqlite"
	"serin.dev/serin/internal/store/storetest"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the kills; 0 picks one")

func storetestMessage(run string) rollout.Message {
	return rollout.Message{ID: run, Run: run, Event: rollout.Promoted, Text: "hello", At: recordtest.Start()}
}

// The test binary is also the process that is killed and the one whose files
// may not grow.
const (
	writerVar = "SQLITE_TEST_WRITER"
	limitVar  = "SQLITE_TEST_LIMIT"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(writerVar) != "":
		fmt.Fprintln(os.Stderr, writeForever(os.Getenv(writerVar)))
		os.Exit(1)
	case os.Getenv(limitVar) != "":
		if err := limited(os.Getenv(limitVar)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForever saves again and again and says which version was acknowledged.
// Every save counts the state's phase up and adds one line and one message.
func writeForever(path string) error {
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for {
		r, err := s.Load(ctx, "a")
		if err != nil {
			return err
		}
		r.State.Phase++
		n := r.State.Phase
		version, err := s.Save(ctx, r, store.Change{
			Lines:    []record.Line{storetest.Line(fmt.Sprint(n, " ", strings.Repeat("x", n%3000)))},
			Messages: []store.Outgoing{{ID: fmt.Sprint("m", n), To: "team", Message: storetestMessage("a")}},
		})
		if err != nil {
			return err
		}
		fmt.Println(version)
	}
}

// Whatever was acknowledged before a kill -9 is there afterwards, whole.
func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("run again with -seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	path := file(t)
	s := open(t, path)
	run := storetest.NewRun(t, "shop", "a")
	run.State.Phase = 0
	must(t, s.Create(deadline(t), run, nil, nil))
	must(t, s.Close())
	saved := 0
	for round := range 20 {
		acknowledged := killAWriter(t, path, time.Duration(random.IntN(60_000))*time.Microsecond)
		s, err := sqlite.Open(path, sqlite.Options{})
		if err != nil {
			t.Fatalf("kill %d: %v", round+1, err)
		}
		r, err := s.Load(deadline(t), "a")
		must(t, err)
		lines, err := s.Lines(deadline(t), "a", 0, 0)
		must(t, err)
		due, err := s.Due(deadline(t), recordtest.Start(), 0)
		must(t, err)
		must(t, s.Close())
		if r.Version < acknowledged {
			t.Fatalf("kill %d: version %d was acknowledged, %d is there", round+1, acknowledged, r.Version)
		}
		if n := r.State.Phase; int64(n) != r.Version-1 || len(lines) != n || len(due) != n {
			t.Fatalf("kill %d: version %d, state %d, %d lines, %d messages do not belong together", round+1, r.Version, n, len(lines), len(due))
		}
		for i, l := range lines {
			if !strings.Contains(string(l), fmt.Sprintf(`"effect":"%d `, i+1)) {
				t.Fatalf("kill %d: line %d is %.80s", round+1, i+1, l)
			}
		}
		saved = r.State.Phase
	}
	if saved < 20 {
		t.Errorf("only %d saves were made between 20 kills", saved)
	}
	t.Logf("%d saves, 20 kills", saved)
}

// killAWriter lets a writer acknowledge at least one save, waits, kills it, and
// returns the last version that it said was saved.
func killAWriter(t *testing.T, path string, wait time.Duration) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), writerVar+"="+path)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var last int64
	in := bufio.NewScanner(out)
	for in.Scan() {
		v, err := strconv.ParseInt(in.Text(), 10, 64)
		must(t, err)
		if last == 0 {
			time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		}
		last = v
	}
	_ = cmd.Wait()
	if last == 0 {
		t.Fatalf("the writer saved nothing: %s", complaint.String())
	}
	return last
}

// fill saves until the store is full, and returns the version that is saved.
func fill(s *sqlite.Store, most int) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for range most {
		r, err := s.Load(ctx, "a")
		if err != nil {
			return 0, err
		}
		before := r.Version
		r.State.Phase++
		_, err = s.Save(ctx, r, store.Change{Lines: []record.Line{storetest.Line(strings.Repeat("x", 20_000))}})
		if err != nil {
			return before, err
		}
	}
	return 0, errors.New("the disk never filled")
}

// fillAndRecover checks a store on a disk that is full and then has room again.
func fillAndRecover(s *sqlite.Store, more func() error) error {
	version, err := fill(s, 2000)
	if !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("the error of a full disk is %w", err)
	}
	if !strings.Contains(err.Error(), "make room") {
		return fmt.Errorf("does not say what to do: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	check := func(when string, version int64) error {
		r, err := s.Load(ctx, "a")
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		lines, err := s.Lines(ctx, "a", 0, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		if r.Version != version || int64(r.State.Phase) != version-1 || len(lines) != r.State.Phase {
			return fmt.Errorf("%s: version %d, state %d, %d lines; want version %d", when, r.Version, r.State.Phase, len(lines), version)
		}
		return nil
	}
	if err := check("full", version); err != nil {
		return err
	}
	r, err := s.Load(ctx, "a")
	if err != nil {
		return err
	}
	big := store.Change{Lines: []record.Line{storetest.Line(strings.Repeat("x", 200_000))}}
	for range 3 { // it goes on refusing, and nothing of it is kept
		if _, err := s.Save(ctx, r, big); !errors.Is(err, store.ErrFull) {
			return fmt.Errorf("saving more than there is room for: %w", err)
		}
	}
	if err := check("full, after more saves were refused", version); err != nil {
		return err
	}
	if err := more(); err != nil {
		return err
	}
	r.State.Phase++
	version, err = s.Save(ctx, r, store.Change{Lines: big.Lines})
	if err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	return check("with room again", version)
}

func createForFilling(s *sqlite.Store, run store.Run) error {
	run.State.Phase = 0
	return s.Create(context.Background(), run, nil, nil)
}

// A disk that is really full, where this user may mount one; a limit on the
// size of files is tried in any case below.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getuid() == 0 {
			t.Logf("no small disk can be mounted here (%v); TestFilesThatMayNotGrow covers the refusal", err)
		}
		return
	}
	defer func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	s, err := sqlite.Open(filepath.Join(dir, "serin.db"), sqlite.Options{})
	must(t, err)
	defer s.Close()
	must(t, createForFilling(s, storetest.NewRun(t, "shop", "a")))
	must(t, fillAndRecover(s, func() error { return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m") }))
	must(t, s.Close())

	// A disk that is full from the start has no database to offer.
	other := filepath.Join(dir, "new")
	must(t, os.Mkdir(other, 0o700))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	defer filler.Close()
	for block := make([]byte, 4096); ; {
		if _, err := filler.Write(block); err != nil {
			break
		}
	}
	if _, err := sqlite.Open(filepath.Join(other, "serin.db"), sqlite.Options{}); !errors.Is(err, store.ErrFull) {
		t.Errorf("opening a new database on a full disk: %v", err)
	}
}

// A quota or a limit on the size of files is a full disk too.
func TestFilesThatMayNotGrow(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), limitVar+"="+file(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// limited runs in a process of its own, whose files may not grow.
func limited(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	_, state, err := recordtest.World{Seed: 1, Looks: 5}.Run()
	if err != nil {
		return err
	}
	run := store.Run{ID: "a", Rollout: "shop", Plan: recordtest.ShortPlan(), State: state, StartedAt: recordtest.Start()}
	if err := createForFilling(s, run); err != nil {
		return err
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: was.Max}); err != nil {
		return err
	}
	return fillAndRecover(s, func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was) })
}
