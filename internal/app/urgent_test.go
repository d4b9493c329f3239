package app

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/store/sqlite"
)

// Another process holds the database, and the run's own save waits in front: a
// person's rollback does not wait for either.
func TestARollbackIsTakenWhileTheDatabaseIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serin.db")
	disk, err := sqlite.Open(path, sqlite.Options{Busy: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s := newUrgentStore(disk)
	defer s.Close()
	run := store.Run{ID: "shop-1", Rollout: "shop", StartedAt: time.Now(), State: engine.State{Status: engine.Progressing}}
	if err := s.Create(t.Context(), run, nil, nil); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	held, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	saved := make(chan error, 1)
	go func() {
		_, err := s.Save(ctx, run, store.Change{})
		saved <- err
	}()

	asked, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.AddIntent(asked, run.ID, rollout.Intent{ID: "x", Kind: rollout.Rollback, At: time.Now(), Actor: "ana"}); err != nil {
		t.Errorf("the rollback is refused: %v", err)
	}
	if asked.Err() != nil {
		t.Error("the rollback waited as long as its caller")
	}
	if open, err := s.Intents(t.Context(), run.ID); err != nil || len(open) != 1 || open[0].ID != "x" {
		t.Errorf("the run hears %+v (%v), want the rollback", open, err)
	}
	stop()
	<-saved
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	now, err := s.Load(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), now, store.Change{}); err != nil {
		t.Fatal(err)
	}
	if open, err := disk.Intents(t.Context(), run.ID); err != nil || len(open) != 1 {
		t.Errorf("after the next save the database holds %+v (%v), want the rollback", open, err)
	}
}

// unreadable is a store in which asking for intents hangs until its context ends.
type unreadable struct {
	store.Store
	asked chan struct{}
}

func (s unreadable) Intents(ctx context.Context, _ string) ([]rollout.Intent, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

// The database takes what is written and cannot be read: a person's rollback is
// heard at once all the same, also by a look that had begun to ask, until a save
// has answered it.
func TestARollbackIsHeardWhileTheDatabaseCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 100)
		s := newUrgentStore(unreadable{&memory.Store{}, asked})
		run := store.Run{ID: "shop-1", Rollout: "shop", StartedAt: time.Now(), State: engine.State{Status: engine.Progressing}}
		if err := s.Create(t.Context(), run, nil, nil); err != nil {
			t.Fatal(err)
		}
		run, err := s.Load(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		heard := func() int {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			open, _ := s.Intents(ctx, run.ID)
			return len(open)
		}
		before := make(chan int)
		go func() { before <- heard() }()
		<-asked
		begun := time.Now()
		if err := s.AddIntent(t.Context(), run.ID, rollout.Intent{ID: "x", Kind: rollout.Rollback, At: begun, Actor: "ana"}); err != nil {
			t.Fatal(err)
		}
		if n := <-before; n != 1 {
			t.Errorf("the look that was asking hears %d intents, want the rollback", n)
		}
		// A look that had asked before saves, and answers nothing.
		if run.Version, err = s.Save(t.Context(), run, store.Change{}); err != nil {
			t.Fatal(err)
		}
		if n := heard(); n != 1 {
			t.Errorf("the next look hears %d intents, want the rollback", n)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it was heard after %s", took)
		}
		if _, err = s.Save(t.Context(), run, store.Change{Answered: []engine.Answer{{ID: "x", Accepted: true}}}); err != nil {
			t.Fatal(err)
		}
		if n := heard(); n != 0 {
			t.Errorf("once it is answered %d intents are heard", n)
		}
		if a, err := s.Answer(t.Context(), run.ID, "x"); err != nil || !a.Accepted {
			t.Errorf("the answer is %+v (%v)", a, err)
		}
		if len(s.kept)+len(s.answers)+len(s.reads) != 0 {
			t.Errorf("in memory are left %v, %v and %d reads", s.kept, s.answers, len(s.reads))
		}
	})
}
