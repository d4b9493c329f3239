package runner

import (
	"context"
	"errors"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
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
	r.bound()
	r.unsaved = r.write(ctx)
	return r.unsaved
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
		r.run.Version, r.roomy = version, 0
	}
	r.sent = store.Change{}
	return err
}

const (
	// maxBacklog is how much of the record is kept while nothing can be saved, in
	// bytes.
	maxBacklog = 1 << 20
	// maxMessages is how many messages are kept meanwhile, the latest ones.
	maxMessages = 500
)

// bound drops what matters least of a backlog that has become too long: looks
// that changed nothing. The record says so.
func (r *Runner) bound() {
	b := &r.backlog
	b.Messages = b.Messages[max(len(b.Messages)-maxMessages, 0):]
	if size(b.Lines) <= max(maxBacklog, r.roomy) {
		return
	}
	lines, err := record.Thin(b.Lines, r.run.State)
	if err != nil {
		r.opts.Logger.Error("what is to be recorded cannot be thinned out", "run", r.id, "error", err)
		return
	}
	r.opts.Logger.Warn("nothing can be saved for long; what is to be recorded is thinned out", "run", r.id, "error", r.unsaved)
	b.Lines, r.roomy = lines, 2*size(lines)
}

func size(lines []record.Line) int {
	n := 0
	for _, l := range lines {
		n += len(l)
	}
	return n
}

func joined(a, b store.Change) store.Change {
	return store.Change{
		Lines:    append(a.Lines, b.Lines...),
		Messages: append(a.Messages, b.Messages...),
		Answered: append(a.Answered, b.Answered...),
	}
}
