package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/rollout"
)

func (a *api) logs(doc huma.API) {
	op := operation(http.MethodGet, "/v1/rollouts/{name}/logs", "getLogs", "Logs of an arm's instances", http.StatusNotFound)
	op.Responses = media("text/plain", "The logs, oldest first")
	huma.Register(doc, op, func(ctx context.Context, in *struct {
		ByName
		Arm    string `query:"arm" enum:"stable,canary" default:"canary"`
		Follow bool   `query:"follow" doc:"Go on as long as the client reads"`
	}) (*huma.StreamResponse, error) {
		if err := a.backend.Owns(in.Name); err != nil {
			return nil, told(err)
		}
		return stream("text/plain; charset=utf-8", func(w io.Writer) error {
			return a.backend.Logs(ctx, in.Name, rollout.Arm(in.Arm), in.Follow, w)
		}), nil
	})

	op = operation(http.MethodGet, "/v1/runs/{id}/logs", "getArchivedLogs", "Archived logs of a run that has ended", http.StatusNotFound)
	op.Responses = media("text/plain", "The logs, each file under a line with its name")
	huma.Register(doc, op, a.archivedLogs)
}

func (a *api) archivedLogs(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	r, err := a.run(ctx, in.ID)
	if err != nil {
		return nil, told(err)
	}
	all, err := a.backend.Archive().List(ctx, r.Rollout, r.ID)
	if err != nil {
		return nil, told(fmt.Errorf("archived logs of run %s: %w", r.ID, err))
	}
	var names []string
	for _, n := range all {
		if strings.HasPrefix(n, archive.LogsFolder+"/") {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil, told(fmt.Errorf("archived logs of run %s: %w; they are archived when the run ends", r.ID, errNotYet))
	}
	return stream("text/plain; charset=utf-8", func(w io.Writer) error {
		for _, n := range names {
			if err := a.copyArchived(ctx, r.Rollout, r.ID, n, w); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func (a *api) copyArchived(ctx context.Context, rollout, run, name string, w io.Writer) error {
	f, err := a.backend.Archive().Open(ctx, rollout, run, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(w, "==> %s <==\n", name); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
