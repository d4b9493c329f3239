package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/archive"
)

// linesAtOnce is how many lines of a record are held in memory.
const linesAtOnce = 256

func (a *api) records(doc huma.API) {
	op := operation(http.MethodGet, "/v1/runs/{id}/record", "getRecord", "The run's record, JSON Lines", http.StatusNotFound)
	op.Responses = media("application/jsonl", "What `serin replay` reads")
	huma.Register(doc, op, func(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
		r, err := a.run(ctx, in.ID)
		if err != nil {
			return nil, told(err)
		}
		// The archive has it whole; the store forgets old records.
		if r.Archived {
			f, err := a.backend.Archive().Open(ctx, r.Rollout, r.ID, archive.RecordFile)
			if err != nil {
				return nil, told(fmt.Errorf("record of run %s: %w", r.ID, err))
			}
			return stream("application/jsonl", func(w io.Writer) error {
				defer f.Close()
				_, err := io.Copy(w, f)
				return err
			}), nil
		}
		return stream("application/jsonl", func(w io.Writer) error { return a.copyRecord(ctx, in.ID, w) }), nil
	})

	op = operation(http.MethodGet, "/v1/runs/{id}/report", "getReport", "The report of a run that has ended", http.StatusNotFound)
	op.Responses = media("text/markdown", "The report")
	huma.Register(doc, op, a.report)
}

// copyRecord writes what the store holds of the record now.
func (a *api) copyRecord(ctx context.Context, run string, w io.Writer) error {
	for after := 0; ; {
		lines, err := a.store().Lines(ctx, run, after, linesAtOnce)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		if after += len(lines); len(lines) < linesAtOnce {
			return nil
		}
	}
}

func (a *api) report(ctx context.Context, in *struct {
	ByID
	Format string `query:"format" enum:"md,html" default:"md" doc:"Markdown, or a page that needs nothing else"`
}) (*huma.StreamResponse, error) {
	r, err := a.run(ctx, in.ID)
	if err != nil {
		return nil, told(err)
	}
	name, contentType := archive.MarkdownFile, "text/markdown; charset=utf-8"
	if in.Format == "html" {
		name, contentType = archive.HTMLFile, "text/html; charset=utf-8"
	}
	f, err := a.backend.Archive().Open(ctx, r.Rollout, r.ID, name)
	if errors.Is(err, fs.ErrNotExist) && !r.Archived {
		return nil, told(fmt.Errorf("report of run %s: %w; it is written when the run has ended, until then see `serin describe %s`", r.ID, errNotYet, r.Rollout))
	}
	if err != nil {
		return nil, told(fmt.Errorf("report of run %s: %w", r.ID, err))
	}
	return stream(contentType, func(w io.Writer) error {
		defer f.Close()
		_, err := io.Copy(w, f)
		return err
	}), nil
}

// media documents an answer that is not JSON.
func media(contentType, description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
}
