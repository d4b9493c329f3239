// Package app puts the program together for each of its modes: one rollout in
// the foreground (Run), the daemon (Serve). It owns what lives as long as the
// process: the store, the homes of the rollouts, the outbox, the API.
//
// It decides nothing about a run; the engine does, carried by the runner.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"serin.dev/serin/internal/runner"
)

// Options are the same for every mode.
type Options struct {
	// State is the folder for everything that is remembered.
	State  string
	Logger *slog.Logger
	// Watch is called after every look at a run, and after every change of a
	// rollout that has none; it must not block.
	Watch func(rollout string, look runner.Look)
}

// StateDir is where state lives unless told otherwise: $SERIN_STATE, else
// $XDG_STATE_HOME/serin, else ~/.local/state/serin.
func StateDir() (string, error) {
	if dir := os.Getenv("SERIN_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "serin"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", kindred{fmt.Errorf("there is no home folder to keep state in (%w); set SERIN_STATE to a folder", err), ErrUnreachable}
	}
	return filepath.Join(home, ".local", "state", "serin"), nil
}

func (o Options) database() string              { return filepath.Join(o.State, "serin.db") }
func (o Options) rolloutDir(name string) string { return filepath.Join(o.State, "rollouts", name) }
func (o Options) archiveDir() string            { return filepath.Join(o.State, "archive") }

// Kinds of failure that decide the exit code.
var (
	// ErrConfig: what the user wrote is wrong.
	ErrConfig = errors.New("wrong configuration")
	// ErrUnreachable: something needed is not there or does not answer.
	ErrUnreachable = errors.New("something needed cannot be reached")
)
