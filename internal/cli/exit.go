package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// The exit codes, a contract of formats.
const (
	exitPromoted    = 0
	exitFailure     = 1
	exitRolledBack  = 2
	exitWaiting     = 3
	exitUsage       = 4
	exitUnreachable = 5
)

// exit is an error with its exit code. Without an err nothing is left to say.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage is a mistake in what was asked for.
func usage(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

// unreachable is something needed that is not there.
func unreachable(format string, args ...any) error {
	return &exit{exitUnreachable, fmt.Errorf(format, args...)}
}

// codeOf returns the exit code for an error of a command.
func (p Program) codeOf(err error) int {
	var e *exit
	if errors.As(err, &e) {
		return e.code
	}
	if code := clusterCode(err); code != 0 {
		return code
	}
	if p.Code != nil {
		if code := p.Code(err); code != 0 {
			return code
		}
	}
	var file *rollout.FileError
	var asked *fs.PathError
	switch {
	case errors.As(err, &file), errors.Is(err, record.ErrTruncated):
		return exitUsage
	case server.HasCode(err, server.CodeInvalid, server.CodeNotFound, server.CodeUnknownRollout, server.CodeRefused,
		server.CodeActive, server.CodeEnded, server.CodeNotYet, server.CodeForbidden):
		return exitUsage
	case server.HasCode(err, server.CodeNotRunning, server.CodeUnavailable, server.CodeStableDown, server.CodeNewer, server.CodeFull):
		return exitUnreachable
	case errors.Is(err, server.ErrRefusedCandidate), errors.Is(err, server.ErrNothingToDo), errors.Is(err, server.ErrInUse), errors.Is(err, store.ErrActive):
		return exitUsage
	case errors.Is(err, server.ErrNobody), errors.Is(err, server.ErrStableDown), errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrFull):
		return exitUnreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return exitUnreachable
	case errors.As(err, &asked) && asked.Op != "write": // a file that was named; what is full is nobody's mistake
		return exitUsage
	}
	return exitFailure
}
