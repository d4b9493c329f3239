package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/report"
	"serin.dev/serin/internal/store"
)

// chronicle puts the record and the reports of an ended run into the archive.
// A program that is asked to stop meanwhile finishes this first.
func (h *home) chronicle(ctx context.Context, run store.Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return Chronicle(ctx, h.store, h.archive, run)
}

const (
	// messageTime is how long an archived record waits for the run's last messages.
	messageTime = 2 * time.Minute
	// flushTime is how long the end of the program waits for messages.
	flushTime = 5 * time.Second
)

// chronicleMessages archives the record once more when the messages about the
// run's end have been delivered or given up: they belong to it. Messages that
// take longer than messageTime are left out.
func (h *home) chronicleMessages(ctx context.Context, run store.Run) {
	lines, err := h.store.Lines(ctx, run.ID, 0, 0)
	if err != nil {
		return // the store's own trouble is reported by who needs it
	}
	archived := len(lines)
	for begun := time.Now(); time.Since(begun) < messageTime && h.undelivered(ctx, run.ID, time.Hour); {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
	if lines, err = h.store.Lines(ctx, run.ID, 0, 0); err != nil || len(lines) == archived {
		return
	}
	if err := h.chronicle(ctx, run); err != nil {
		h.log.Warn("the run's last messages could not be archived", "run", run.ID, "error", err)
	}
}

// undelivered reports that a message about a run is, as far as is known, still to
// be delivered within a time.
func (h *home) undelivered(ctx context.Context, run string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	due, err := h.store.Due(ctx, time.Now().Add(within), 0)
	return err != nil || slices.ContainsFunc(due, func(m store.Outgoing) bool { return m.Message.Run == run })
}

// flush gives the messages about the run's end a moment to get out.
func (h *home) flush(ctx context.Context, run string) {
	for begun := time.Now(); time.Since(begun) < flushTime && h.undelivered(ctx, run, 0); {
		h.outbox.Wake()
		time.Sleep(20 * time.Millisecond)
	}
}

// Chronicle puts the record and the reports of an ended run into the archive
// and notes where the report is. It can be repeated.
func Chronicle(ctx context.Context, st store.Store, ar archive.Archive, run store.Run) error {
	lines, err := st.Lines(ctx, run.ID, 0, 0)
	if err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	var rec bytes.Buffer
	for _, l := range lines {
		rec.Write(l)
		rec.WriteByte('\n')
	}
	if _, err := ar.Put(ctx, run.Rollout, run.ID, archive.RecordFile, bytes.NewReader(rec.Bytes())); err != nil {
		return fmt.Errorf("archive the record: %w", err)
	}
	ev, err := readEvidence(ctx, ar, run)
	if err != nil {
		return err
	}
	rep, err := report.Read(bytes.NewReader(rec.Bytes()), ev)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var md, html bytes.Buffer
	if err := errors.Join(report.Markdown(&md, rep), report.HTML(&html, rep)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := ar.Put(ctx, run.Rollout, run.ID, archive.MarkdownFile, &md); err != nil {
		return fmt.Errorf("archive the report: %w", err)
	}
	where, err := ar.Put(ctx, run.Rollout, run.ID, archive.HTMLFile, &html)
	if err != nil {
		return fmt.Errorf("archive the report: %w", err)
	}
	if err := st.SetArchived(ctx, run.ID, where); err != nil {
		return fmt.Errorf("note where the report is: %w", err)
	}
	return nil
}

func readEvidence(ctx context.Context, ar archive.Archive, run store.Run) (report.Evidence, error) {
	var ev report.Evidence
	f, err := ar.Open(ctx, run.Rollout, run.ID, archive.EvidenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return ev, nil
	}
	if err != nil {
		return ev, fmt.Errorf("read the evidence: %w", err)
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, 16<<20)).Decode(&ev); err != nil {
		return ev, fmt.Errorf("read the evidence: %w", err)
	}
	return ev, nil
}

// keepRecords is how many runs of a rollout keep their record in the database
// once it is in the archive.
const keepRecords = 20

// chronicleAll archives runs that ended while they could not be archived: those
// of an earlier program at once, later ones after a while.
func (p *program) chronicleAll(ctx context.Context) {
	for begun := time.Now(); ; {
		if n, err := p.pruner.Prune(ctx, keepRecords); err == nil && n > 0 {
			p.opts.Logger.Info("records that are in the archive were taken out of the database", "runs", n)
		}
		p.catchUp(ctx, "", begun)
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return
		}
	}
}

// catchUp archives the ended runs of a rollout, or of all, that are not archived.
// Those that ended since then and not long ago are being archived.
func (p *program) catchUp(ctx context.Context, rollout string, since time.Time) {
	listing, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	runs, err := p.store.Runs(listing, rollout, 0)
	if err != nil {
		return // the store's own trouble is reported by who needs it
	}
	for _, run := range runs {
		ours := run.EndedAt.After(since) && time.Since(run.EndedAt) < time.Minute
		if ctx.Err() == nil && run.State.Ended() && !run.Archived && !ours {
			p.chronicleAgain(ctx, run.Rollout, run.ID)
		}
	}
}

func (p *program) chronicleAgain(ctx context.Context, rollout, id string) {
	h, err := p.home(rollout)
	if err != nil {
		return // another program's
	}
	run, err := h.load(ctx, id)
	if err == nil {
		err = h.chronicle(ctx, run)
	}
	if err != nil {
		h.log.Warn("an ended run could not be archived; it will be tried again", "run", id, "error", err)
	}
}
