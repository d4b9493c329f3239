package runner

import (
	"context"
	"errors"
	"fmt"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/store"
)

// save writes the state with its lines. While it fails, the runner goes on in
// memory, raises nothing, and keeps what is to be recorded.
func (r *Runner) save(ctx context.Context, o engine.Observation, d engine.Decision) error {
	was := r.run.State
	run := r.run
	run.State = d.Next
	if d.Next.Ended() && run.EndedAt.IsZero() {
		run.EndedAt = o.At
	}
	change, err := r.change(was, run, o, d)
	if err != nil {
		return err
	}
	r.run = run
	r.keep(o, d)
	r.backlog = joined(r.backlog, change)
	if r.unsaved = r.write(ctx); r.unsaved != nil {
		return fmt.Errorf("save run %s: %w", r.id, r.unsaved)
	}
	return nil
}

// write saves the state in force with all that is to be stored with it.
func (r *Runner) write(ctx context.Context) error {
	if late, ok := r.saves.late(); ok {
		if err := r.written(late.value, late.err); errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	if r.saves.pending() {
		return errUnanswered
	}
	run := r.run
	r.sent, r.backlog = r.backlog, store.Change{}
	change := r.sent
	version, err := call(ctx, r, &r.saves, func(ctx context.Context) (int64, error) { return r.ports.Store.Save(ctx, run, change) })
	if r.saves.pending() {
		return err // what was sent may yet be stored
	}
	return r.written(version, err)
}

// written takes the store's answer to a Save.
func (r *Runner) written(version int64, err error) error {
	if err != nil {
		r.backlog = joined(r.sent, r.backlog)
	} else {
		r.run.Version = version
	}
	r.sent = store.Change{}
	return err
}

func joined(a, b store.Change) store.Change {
	return store.Change{
		Lines:    append(a.Lines, b.Lines...),
		Messages: append(a.Messages, b.Messages...),
		Answered: append(a.Answered, b.Answered...),
	}
}
