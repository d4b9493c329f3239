package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"path/filepath"
	"testing"
	"time"

	driver "modernc.org/sqlite"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// A write hangs as in a system call, which ends with no context. Whoever waits
// for the store waits no longer than it wanted to, reading goes on, and once the
// disk answers again so does writing.
func TestAHangingDiskKeepsNobodyLongerThanItsContext(t *testing.T) {
	hangs, goesOn := make(chan struct{}), make(chan struct{})
	driver.MustRegisterScalarFunction("hang", 0, func(*driver.FunctionContext, []sqldriver.Value) (sqldriver.Value, error) {
		close(hangs)
		<-goesOn
		return int64(0), nil
	})
	s, err := Open(filepath.Join(t.TempDir(), "serin.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), store.Run{ID: "a", Rollout: "shop", StartedAt: time.Now()}, nil, nil); err != nil {
		t.Fatal(err)
	}
	patience := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	begun := time.Now()
	ctx := patience(2 * time.Second) // the disk hangs within that
	err = s.change(ctx, "save", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "SELECT hang()")
		return err
	})
	<-hangs
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the write that hangs: %v", err)
	}
	ask := rollout.Intent{ID: "i1", Kind: rollout.Rollback, At: time.Now(), Actor: "ana"}
	if err := s.AddIntent(patience(50*time.Millisecond), "a", ask); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write behind it: %v", err)
	}
	if _, err := s.Load(t.Context(), "a"); err != nil {
		t.Errorf("reading beside it: %v", err)
	}
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("it all took %s", took)
	}
	close(goesOn)
	again, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.AddIntent(again, "a", ask); err != nil {
		t.Errorf("writing afterwards: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
