package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// ByName is the path parameter of everything about one rollout.
type ByName struct {
	Name string `path:"name" maxLength:"253" doc:"Name of the rollout" example:"shop"`
}

func (a *api) rollouts(doc huma.API) {
	huma.Register(doc, operation(http.MethodGet, "/v1/rollouts", "listRollouts", "List rollouts"),
		func(ctx context.Context, _ *struct{}) (*body[list[Rollout]], error) {
			all, err := a.backend.Rollouts(ctx)
			return answer(list[Rollout]{Items: all}, err)
		})
	huma.Register(doc, operation(http.MethodGet, "/v1/rollouts/{name}", "getRollout", "How a rollout is now", http.StatusNotFound),
		func(ctx context.Context, in *ByName) (*body[Rollout], error) {
			r, err := a.backend.Rollout(ctx, in.Name)
			return answer(r, err)
		})
	release := operation(http.MethodPost, "/v1/rollouts/{name}/runs", "release", "Start a run that releases a version",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	release.DefaultStatus = http.StatusCreated
	huma.Register(doc, release, a.release)
}

// ReleaseRequest asks for a run.
type ReleaseRequest struct {
	Version string   `json:"version" minLength:"1" maxLength:"253" doc:"Version to release" example:"v2"`
	Command []string `json:"command,omitempty" maxItems:"1024" doc:"How to run it; default: the command of the rollout's file" example:"[\"./shop-v2\",\"-listen\",\"$(ADDR)\"]"`
}

func (a *api) release(ctx context.Context, in *struct {
	ByName
	Body ReleaseRequest
}) (*body[Run], error) {
	who, err := actor(ctx)
	if err != nil {
		return nil, told(err)
	}
	r, err := a.backend.Release(ctx, in.Name, Candidate{Version: in.Body.Version, Command: in.Body.Command, Actor: who})
	if err != nil {
		return nil, told(err)
	}
	return answer(runOf(r), nil)
}

// body is an answer with nothing but a body.
type body[T any] struct{ Body T }

// list is how lists are told, so that they can grow fields.
type list[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, told(err)
	}
	return &body[T]{v}, nil
}
