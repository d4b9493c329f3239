package server

import (
	"context"
	"errors"
	"io"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Backend is what the API needs from the program. Every method is safe for
// concurrent use and returns before ctx ends.
type Backend interface {
	// Store holds the runs. The API reads it and adds intents to it, nothing
	// else.
	Store() store.Store
	// Archive holds what is kept of ended runs.
	Archive() archive.Archive

	// Rollouts says how every rollout is now, sorted by name.
	Rollouts(ctx context.Context) ([]Rollout, error)
	// Rollout says how one is, without a list of all; the error wraps
	// ErrUnknownRollout when there is none of that name.
	Rollout(ctx context.Context, name string) (Rollout, error)
	// Release starts a run and returns it as it was created, not waiting for
	// its end. Its errors wrap one of this package's, or store.ErrActive.
	Release(ctx context.Context, name string, c Candidate) (store.Run, error)

	// Owns reports whether this program runs the rollout's runs, so that an
	// intent will be answered; if not it returns an error that wraps
	// ErrNotRunning or ErrUnknownRollout.
	Owns(name string) error
	// Wake says that an intent has arrived for a run, so that it is looked at
	// now and not at the next tick.
	Wake(run string)
	// Watch returns a channel that receives a value after the run's record has
	// grown. Changes nobody has received yet are one value.
	Watch(run string) (changes <-chan struct{}, stop func())
	// Glance is how often the store is asked for news of a run, in case nobody says
	// that there is some: the more seldom, the more others ask it too.
	Glance() time.Duration
	// Live returns the latest of a run that goes on here. It does not wait for the
	// store.
	Live(run string) (Live, bool)
	// Logs copies the logs of one arm's instances to w, oldest first. With
	// follow it goes on until ctx ends.
	Logs(ctx context.Context, rollout string, arm rollout.Arm, follow bool, w io.Writer) error
}

// Rollout is how a rollout is now.
type Rollout struct {
	Name string `json:"name" doc:"Name of the rollout" example:"shop"`
	File string `json:"file,omitempty" doc:"File it is written in"`
	// Serving is the version that gets the traffic between runs.
	Serving string `json:"serving,omitempty" doc:"Version that serves" example:"v1"`
	// Run is the id of the run that goes on, or empty.
	Run    string    `json:"run,omitempty" doc:"Id of the run that has not ended"`
	Stable Readiness `json:"stable"`
	Canary Readiness `json:"canary"`
	Weight int       `json:"weight" doc:"Percent of traffic routed to the canary" minimum:"0" maximum:"100"`
	Listen string    `json:"listen,omitempty" doc:"Address users reach it at" example:"127.0.0.1:8080"`
	// Asides says which requests reach a version whatever the weight is, as the
	// route has it.
	Asides []string `json:"asides,omitempty" doc:"Requests that reach a version whatever the weight, such as testers'"`
	// AsidesUnknown says why Asides are not known; empty: they are.
	AsidesUnknown string `json:"asidesUnknown,omitempty" doc:"Why the requests that reach a version whatever the weight are not known"`
	// Problem says what keeps the rollout from working, and what to do.
	Problem string `json:"problem,omitempty" doc:"What keeps it from working, and what to do"`
}

// Readiness counts the instances of one arm.
type Readiness struct {
	Version   string `json:"version,omitempty" example:"v1"`
	Instances int    `json:"instances"`
	Ready     int    `json:"ready"`
	Detail    string `json:"detail,omitempty" doc:"The latest trouble in one line"`
}

// Candidate is the version that a run is to release.
type Candidate struct {
	Version string
	// Command is how to run it; empty means the command of the rollout's file.
	Command []string
	// Actor is who asked.
	Actor string
}

// Live is what a run that goes on did last.
type Live struct {
	// Run is the run as it is in memory, which the store may not hold yet. Only the
	// program that carries it knows.
	Run      store.Run
	At       time.Time
	Decision record.Decision
	// Input is the observation of the latest tick, with its samples.
	Input record.Input
}

// The errors of Release and Owns; each is wrapped with the particulars and what
// to do.
var (
	ErrUnknownRollout = errors.New("no such rollout")
	// ErrNothingToDo: the candidate is what serves already.
	ErrNothingToDo = errors.New("this version serves already")
	// ErrStableDown: stable does not serve, so there is nothing to compare with.
	ErrStableDown = errors.New("stable is not serving")
	// ErrRefusedCandidate: the candidate cannot be run as it was asked for.
	ErrRefusedCandidate = errors.New("the candidate cannot be run")
	// ErrNotRunning: this program only reads; nothing runs the rollout.
	ErrNotRunning = errors.New("nothing runs this rollout")
	// ErrStopping: the program is about to end.
	ErrStopping = errors.New("serin is stopping")
)
