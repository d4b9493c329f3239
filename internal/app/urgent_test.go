package app

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
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
