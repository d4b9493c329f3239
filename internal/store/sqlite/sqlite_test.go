package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/sqlite"
	"serin.dev/serin/internal/store/storetest"
)

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "state", "serin.db") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, file(t)) })
	storetest.RunDurable(t, func(t *testing.T, dir string) store.Store { return open(t, filepath.Join(dir, "serin.db")) })
}

func TestNobodyElseCanReadTheDatabase(t *testing.T) {
	path := file(t)
	s := open(t, path)
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", "a"), nil, nil))
	for _, f := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, info.Mode())
		}
	}
	info, err := os.Stat(filepath.Dir(path))
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("its folder has mode %v", info.Mode())
	}
	must(t, s.Close())
	must(t, os.Chmod(path, 0o644))
	open(t, path)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("a database that others could read keeps mode %v", info.Mode())
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?mode=memory#é", "se rin?.db")
	s := open(t, path)
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", "a"), nil, nil))
	must(t, s.Close())
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the database is not where it was asked for: %v", err)
	}
}

// raw changes a database behind the store's back.
func raw(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(statement)
	must(t, err)
}

func TestADatabaseOfANewerVersionIsLeftAlone(t *testing.T) {
	path := file(t)
	s := open(t, path)
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", "a"), nil, nil))
	must(t, s.Close())
	raw(t, path, "PRAGMA user_version = 99")
	before, err := os.ReadFile(path)
	must(t, err)
	_, err = sqlite.Open(path, sqlite.Options{})
	if !errors.Is(err, store.ErrNewer) {
		t.Fatalf("opening it: %v", err)
	}
	for _, want := range []string{path, "form 99", "newer serin", "move the file away"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestAnotherProgramsDatabaseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	raw(t, path, "CREATE TABLE theirs (x)")
	_, err := sqlite.Open(path, sqlite.Options{})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "another program") || !strings.Contains(err.Error(), path) {
		t.Fatalf("opening it: %v", err)
	}
}

func TestDamageIsNamedWithItsMend(t *testing.T) {
	whole := func(t *testing.T) (string, []byte) {
		path := file(t)
		s := open(t, path)
		run := storetest.NewRun(t, "shop", "a")
		var lines []record.Line
		for i := range 300 {
			lines = append(lines, storetest.Line(fmt.Sprint(i, strings.Repeat("x", 200))))
		}
		must(t, s.Create(deadline(t), run, lines, nil))
		must(t, s.Close())
		data, err := os.ReadFile(path)
		must(t, err)
		return path, data
	}
	for name, damage := range map[string]func([]byte) []byte{
		"text":            func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 100)) },
		"a broken header": func(d []byte) []byte { copy(d, "SQLite formap 3"); return d },
		"zeroed pages":    func(d []byte) []byte { clear(d[4096:]); return d },
		"cut in half":     func(d []byte) []byte { return d[:len(d)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			path, data := whole(t)
			must(t, os.WriteFile(path, damage(data), 0o600))
			s, err := sqlite.Open(path, sqlite.Options{})
			if err == nil { // the damage shows when it is read
				defer s.Close()
				_, err = s.Lines(deadline(t), "a", 0, 0)
			}
			if !errors.Is(err, sqlite.ErrDamaged) || !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("the error is %v", err)
			}
			for _, want := range []string{path, "move it away", "-wal", "archive"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, path := range []string{filepath.Join(dir, "file", "serin.db"), dir} {
		if _, err := sqlite.Open(path, sqlite.Options{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestManyMayMakeTheDatabaseAtOnce(t *testing.T) {
	path := file(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlite.Open(path, sqlite.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Runs(context.Background(), "", 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A save that another process' writing holds up ends with its context.
func TestAWaitForAnotherProcessIsBounded(t *testing.T) {
	path := file(t)
	s := open(t, path)
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", "a"), nil, nil))
	db, err := sql.Open("sqlite", path+"?_txlock=immediate")
	must(t, err)
	defer db.Close()
	tx, err := db.Begin()
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = s.Append(ctx, "a", []record.Line{storetest.Line("x")})
	if err == nil || time.Since(began) > 4*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if _, err := s.Load(deadline(t), "a"); err != nil {
		t.Errorf("reading beside a writer: %v", err)
	}
	must(t, tx.Rollback())
	must(t, s.Append(deadline(t), "a", []record.Line{storetest.Line("y")}))
	lines, err := s.Lines(deadline(t), "a", 0, 0)
	must(t, err)
	if len(lines) != 1 {
		t.Errorf("%d lines; the one that was refused is there", len(lines))
	}
}

func finish(t testing.TB, s *sqlite.Store, id string, lines []record.Line, archived bool) {
	t.Helper()
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", id), lines, nil))
	r, err := s.Load(deadline(t), id)
	must(t, err)
	r.State.Status, r.EndedAt = engine.Promoted, recordtest.Start()
	_, err = s.Save(deadline(t), r, store.Change{Messages: []store.Outgoing{{ID: id + "/m", To: "team", Message: storetestMessage(id)}}})
	must(t, err)
	must(t, s.Settle(deadline(t), id+"/m", true, time.Time{}, ""))
	if archived {
		must(t, s.SetArchived(deadline(t), id, "/archive/"+id))
	}
}

func TestPruningKeepsWhatIsNotInTheArchive(t *testing.T) {
	path := file(t)
	s := open(t, path)
	lines := []record.Line{storetest.Line("a"), storetest.Line("b")}
	for i := range 6 {
		finish(t, s, fmt.Sprint("run-", i), lines, i != 1)
	}
	must(t, s.Create(deadline(t), storetest.NewRun(t, "shop", "running"), lines, nil))
	n, err := s.Prune(deadline(t), 3)
	must(t, err)
	if n != 3 { // of 0 to 3, all but 1, which is not archived
		t.Errorf("%d runs were pruned", n)
	}
	for id, kept := range map[string]bool{"run-0": false, "run-1": true, "run-2": false, "run-3": false, "run-4": true, "run-5": true, "running": true} {
		got, err := s.Lines(deadline(t), id, 0, 0)
		if kept && (err != nil || len(got) != 2) {
			t.Errorf("%s: %d lines, %v", id, len(got), err)
		}
		if !kept && (!errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "/archive/"+id)) {
			t.Errorf("%s: the error does not say where its record is: %v", id, err)
		}
		if _, err := s.Load(deadline(t), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if runs, err := s.Runs(deadline(t), "shop", 0); err != nil || len(runs) != 7 {
		t.Errorf("the history has %d runs, %v", len(runs), err)
	}
	if n, err := s.Prune(deadline(t), 3); err != nil || n != 0 {
		t.Errorf("pruning again: %d, %v", n, err)
	}
}

// With pruning the file stays as large as the runs that are kept.
func TestTheFileStopsGrowing(t *testing.T) {
	path := file(t)
	s := open(t, path)
	var lines []record.Line
	for i := range 100 {
		lines = append(lines, storetest.Line(fmt.Sprint(i, strings.Repeat("x", 2000))))
	}
	size := func() int64 {
		info, err := os.Stat(path)
		must(t, err)
		return info.Size()
	}
	var early int64
	for i := range 24 {
		finish(t, s, fmt.Sprint(i), lines, true)
		_, err := s.Prune(deadline(t), 2)
		must(t, err)
		if i == 7 {
			must(t, s.Close())
			early = size()
			s = open(t, path)
		}
	}
	must(t, s.Close())
	if late := size(); late > early+early/2 {
		t.Errorf("after 8 runs it has %d bytes, after 24 runs %d", early, late)
	}
}
