package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/report"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/workload"
)

// excerptBytes is how much of the end of each log a report quotes, and
// excerptsBytes how much of all of them together.
const (
	excerptBytes  = 4 << 10
	excerptsBytes = 256 << 10
)

// keeper keeps what a run leaves behind: logs, evidence, record, reports.
type keeper struct {
	store    store.Store
	archive  archive.Archive
	workload workload.Workload
	// changes says what differs between the two versions of a run.
	changes func(store.Run) []report.Change
}

func (h *home) keeper() keeper {
	return keeper{store: h.store, archive: h.archive, workload: h.parts.Workload, changes: h.changes}
}

func (k keeper) chores() map[engine.JobKind]runner.Chore {
	return map[engine.JobKind]runner.Chore{
		engine.JobEvidence: k.gatherEvidence,
		engine.JobLogs:     k.archiveLogs,
	}
}

func (h *home) reportPath(run string) string {
	return filepath.Join(h.opts.archiveDir(), h.name(), run, archive.HTMLFile)
}

// archiveLogs keeps the logs of the instances that are about to go: the
// canary's and the baseline's always, the old version's when the canary has taken
// over.
func (k keeper) archiveLogs(ctx context.Context, run store.Run, _ workload.Status) (string, error) {
	logger, ok := k.workload.(workload.Logger)
	if !ok {
		return "this workload keeps its own logs", nil
	}
	arms := []rollout.Arm{rollout.Canary}
	if run.State.Status == engine.Promoting {
		arms = append(arms, rollout.Stable)
	}
	if run.Plan.Baseline {
		arms = append(arms, rollout.Baseline)
	}
	kept := 0
	var errs []error
	for _, arm := range arms {
		errs = append(errs, logger.Logs(ctx, arm, func(name string, open func() (io.ReadCloser, error)) error {
			f, err := open()
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = k.archive.Put(ctx, run.Rollout, run.ID, archive.LogsFolder+"/"+name, f)
			if err == nil {
				kept++
			}
			return err
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("archive logs: %w", err)
	}
	return fmt.Sprintf("%d logs archived", kept), nil
}

// gatherEvidence keeps what a rollback's report needs and what is gone once
// the canary is.
func (k keeper) gatherEvidence(ctx context.Context, run store.Run, status workload.Status) (string, error) {
	ev := report.Evidence{Changes: k.changes(run)}
	for _, g := range []workload.Group{status.Stable, status.Canary} {
		if g.Failed != "" {
			ev.Events = append(ev.Events, g.Version+": "+g.Failed)
		}
		if g.Detail != "" && g.Detail != g.Failed {
			ev.Events = append(ev.Events, g.Version+": "+g.Detail)
		}
		if g.Restarts > 0 {
			ev.Events = append(ev.Events, fmt.Sprintf("%s: ended by itself %d times", g.Version, g.Restarts))
		}
	}
	k.witness(ctx, &ev)
	if logger, ok := k.workload.(workload.Logger); ok {
		room := excerptsBytes
		err := logger.Logs(ctx, rollout.Canary, func(name string, open func() (io.ReadCloser, error)) error {
			f, err := open()
			if err != nil {
				return err
			}
			defer f.Close()
			text, err := tail(f, excerptBytes)
			if room -= len(text); err == nil && text != "" && room >= 0 {
				ev.LogExcerpts = append(ev.LogExcerpts, report.Excerpt{Instance: name, Arm: string(rollout.Canary), Text: text})
			}
			return err
		})
		if err != nil {
			ev.Notes = append(ev.Notes, "logs could not be read: "+err.Error())
		}
	}
	data, err := json.MarshalIndent(ev, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the evidence: %w", err)
	}
	if _, err := k.archive.Put(ctx, run.Rollout, run.ID, archive.EvidenceFile, bytes.NewReader(data)); err != nil {
		return "", fmt.Errorf("archive the evidence: %w", err)
	}
	return "evidence gathered", nil
}

// witness adds what the workload can say beyond logs and figures.
func (k keeper) witness(ctx context.Context, ev *report.Evidence) {
	w, ok := k.workload.(workload.Witness)
	if !ok {
		return
	}
	events, err := w.Events(ctx)
	for _, e := range events {
		if !slices.Contains(ev.Events, e) {
			ev.Events = append(ev.Events, e)
		}
	}
	if err != nil {
		ev.Notes = append(ev.Notes, "not all events could be read: "+err.Error())
	}
	differences, err := w.Differences(ctx)
	for _, d := range differences {
		ev.Changes = append(ev.Changes, report.Change{What: d.What, Stable: d.Stable, Canary: d.Canary})
	}
	if err != nil {
		ev.Notes = append(ev.Notes, "the two versions could not be compared: "+err.Error())
	}
}

// changes says what differs between the two versions. Of the environment it
// names the variables and never their values.
func (h *home) changes(run store.Run) []report.Change {
	changes := []report.Change{{What: "version", Stable: run.StableVersion, Canary: run.CanaryVersion}}
	var candidate workload.Version
	if json.Unmarshal(run.Candidate, &candidate) != nil {
		return changes
	}
	stable := h.parts.Workload.Serving()
	add := func(what, s, c string) {
		if s != c {
			changes = append(changes, report.Change{What: what, Stable: s, Canary: c})
		}
	}
	add("command", strings.Join(stable.Command, " "), strings.Join(candidate.Command, " "))
	add("folder", stable.Dir, candidate.Dir)
	add("addresses", strings.Join(stable.URLs, " "), strings.Join(candidate.URLs, " "))
	add("environment", strings.Join(differing(stable.Env, candidate.Env), " "), strings.Join(differing(candidate.Env, stable.Env), " "))
	return changes
}

// differing names the variables of a that b lacks or has another value for.
func differing(a, b map[string]string) []string {
	var names []string
	for name, value := range a {
		if other, ok := b[name]; !ok || other != value {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tail returns the last n bytes of r, from the start of a line.
func tail(r io.Reader, n int) (string, error) {
	buf := make([]byte, 0, 2*n)
	chunk := make([]byte, 32<<10)
	for {
		k, err := r.Read(chunk)
		buf = append(buf, chunk[:k]...)
		if len(buf) > n {
			buf = append(buf[:0], buf[len(buf)-n:]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	text := strings.ToValidUTF8(string(buf), "?")
	if len(buf) == n {
		if _, after, ok := strings.Cut(text, "\n"); ok {
			text = after
		}
	}
	return text, nil
}
