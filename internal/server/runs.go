package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/store"
)

// maxRuns bounds one list of runs.
const maxRuns = 1000

// ByID is the path parameter of everything about one run.
type ByID struct {
	ID string `path:"id" maxLength:"253" doc:"Id of the run"`
}

func (a *api) runs(doc huma.API) {
	huma.Register(doc, operation(http.MethodGet, "/v1/runs", "listRuns", "List runs, the newest first"),
		func(ctx context.Context, in *struct {
			Rollout string `query:"rollout" maxLength:"253" doc:"Only this rollout's runs"`
			Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most this many"`
		}) (*body[list[Run]], error) {
			stored, err := a.store().Runs(ctx, in.Rollout, min(in.Limit, maxRuns))
			if err != nil {
				return nil, told(fmt.Errorf("list runs: %w", err))
			}
			runs := make([]Run, len(stored))
			for i, r := range stored {
				runs[i] = runOf(r)
			}
			return answer(list[Run]{Items: runs}, nil)
		})
	huma.Register(doc, operation(http.MethodGet, "/v1/runs/{id}", "getRun", "One run", http.StatusNotFound),
		func(ctx context.Context, in *ByID) (*body[Run], error) {
			r, err := a.run(ctx, in.ID)
			if err != nil {
				return nil, told(err)
			}
			return answer(runOf(r), nil)
		})
}

// run is a run as it is now. Of one that goes on here the store need not be asked,
// which may hang while somebody wants a rollback.
func (a *api) run(ctx context.Context, id string) (store.Run, error) {
	if live, ok := a.backend.Live(id); ok && live.Run.ID == id && !live.Run.State.Ended() {
		return live.Run, nil
	}
	r, err := a.store().Load(ctx, id)
	if err != nil {
		return r, fmt.Errorf("run %q: %w", id, err)
	}
	return r, nil
}
