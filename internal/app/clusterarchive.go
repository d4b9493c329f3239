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
	"strings"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/report"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
)

// evidenced is the controller's archive, which keeps the evidence of a run in
// the API server too: there people can read it, and it outlives the pod.
type evidenced struct {
	archive.Archive
	store *crd.Store
}

func (a evidenced) Put(ctx context.Context, rollout, run, name string, r io.Reader) (string, error) {
	if name != archive.EvidenceFile {
		return a.Archive.Put(ctx, rollout, run, name, r)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	// Neither of the two is in the other's way.
	err = a.store.KeepEvidence(ctx, run, data)
	where, errPut := a.Archive.Put(ctx, rollout, run, name, bytes.NewReader(data))
	return where, errors.Join(err, errPut)
}

func (a evidenced) Open(ctx context.Context, rollout, run, name string) (io.ReadCloser, error) {
	f, err := a.Archive.Open(ctx, rollout, run, name)
	if name != archive.EvidenceFile || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	return openEvidence(ctx, a.store, run)
}

// openEvidence reads what the API server has; the error wraps fs.ErrNotExist
// when there is none, as of a run that was promoted.
func openEvidence(ctx context.Context, st *crd.Store, run string) (io.ReadCloser, error) {
	data, err := st.Evidence(ctx, run)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("evidence of run %s: %w", run, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("evidence of run %s: %w", run, err)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// recordArchive makes what is kept of an ended run from its record and its
// evidence, which are in the API server: whoever may read runs can read their
// reports, and the ends of the canary's logs.
type recordArchive struct{ store *crd.Store }

var errElsewhere = errors.New("the controller's archive is written by the controller alone")

func (a recordArchive) Put(context.Context, string, string, string, io.Reader) (string, error) {
	return "", errElsewhere
}

func (a recordArchive) Open(ctx context.Context, _, run, name string) (io.ReadCloser, error) {
	if name == archive.RecordFile {
		rec, err := a.record(ctx, run)
		return io.NopCloser(rec), err
	}
	if name == archive.EvidenceFile {
		return openEvidence(ctx, a.store, run)
	}
	r, err := a.store.Load(ctx, run)
	if err != nil {
		return nil, err
	}
	if !r.State.Ended() {
		return nil, fmt.Errorf("%s of run %s: %w", name, run, fs.ErrNotExist)
	}
	ev, err := a.evidence(ctx, r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	switch name {
	case archive.MarkdownFile, archive.HTMLFile:
		err = a.report(ctx, r, ev, name, &out)
	default:
		i := slices.IndexFunc(ev.LogExcerpts, func(e report.Excerpt) bool { return logName(e) == name })
		if i < 0 {
			return nil, fmt.Errorf("%s of run %s: %w", name, run, fs.ErrNotExist)
		}
		out.WriteString(ev.LogExcerpts[i].Text)
		if !strings.HasSuffix(ev.LogExcerpts[i].Text, "\n") {
			out.WriteByte('\n')
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return io.NopCloser(&out), nil
}

func (a recordArchive) report(ctx context.Context, r store.Run, ev report.Evidence, name string, out io.Writer) error {
	rec, err := a.record(ctx, r.ID)
	if err != nil {
		return err
	}
	rep, err := report.Read(rec, ev)
	if err != nil {
		return err
	}
	if name == archive.MarkdownFile {
		return report.Markdown(out, rep)
	}
	return report.HTML(out, rep)
}

func (a recordArchive) record(ctx context.Context, run string) (*bytes.Buffer, error) {
	rec := new(bytes.Buffer)
	lines, err := a.store.Lines(ctx, run, 0, 0)
	if err != nil {
		return rec, fmt.Errorf("read the record: %w", err)
	}
	for _, l := range lines {
		rec.Write(l)
		rec.WriteByte('\n')
	}
	return rec, nil
}

// evidence reads what was gathered at a rollback; of another run it is what
// differs between the versions, as far as the run itself tells.
func (a recordArchive) evidence(ctx context.Context, r store.Run) (report.Evidence, error) {
	f, err := openEvidence(ctx, a.store, r.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return report.Evidence{Changes: revisionChanges(r)}, nil
	}
	if err != nil {
		return report.Evidence{}, err
	}
	defer f.Close()
	var ev report.Evidence
	if err := json.NewDecoder(f).Decode(&ev); err != nil {
		return ev, fmt.Errorf("read the evidence: %w", err)
	}
	return ev, nil
}

// logName is under which name an excerpt is archived.
func logName(e report.Excerpt) string { return archive.LogsFolder + "/" + e.Instance }

func (a recordArchive) List(ctx context.Context, _, run string) ([]string, error) {
	r, err := a.store.Load(ctx, run)
	if err != nil {
		return nil, err
	}
	if !r.State.Ended() {
		return nil, nil
	}
	ev, err := a.evidence(ctx, r)
	if err != nil {
		return nil, err
	}
	names := []string{archive.RecordFile, archive.HTMLFile, archive.MarkdownFile}
	for _, e := range ev.LogExcerpts {
		names = append(names, logName(e))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
