package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
)

// Gate starts the program once a Run.
type Gate struct{ cfg Config }

var _ gate.Gate = (*Gate)(nil)

// New returns the gate; it does not look for the program yet.
func New(cfg Config) (*Gate, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("command: %s %s", p.Field, p.Message)
		}
	}
	return &Gate{cfg: cfg}, nil
}

// Check says before a run what would keep the program from being started: a
// secret that is not there.
func (g *Gate) Check() error {
	_, _, err := g.configured()
	return err
}

// Run implements gate.Gate. The program and everything it started is killed as
// one process group when ctx ends, and when the program itself has ended:
// nothing is left behind.
func (g *Gate) Run(ctx context.Context, c gate.Call) gate.Result {
	started := time.Now()
	result := g.run(ctx, c)
	result.Took = time.Since(started)
	return result
}

func (g *Gate) run(ctx context.Context, c gate.Call) gate.Result {
	program := filepath.Base(g.cfg.Argv[0])
	failed := func(format string, args ...any) gate.Result {
		return gate.Result{Message: oneLine(program + " " + fmt.Sprintf(format, args...))}
	}
	configured, scrubber, err := g.configured()
	if err != nil {
		return failed("was not started: %v", err)
	}
	argv, err := expand(g.cfg.Argv, c)
	if err != nil {
		return failed("was not started: %v", err)
	}
	if err := ctx.Err(); err != nil {
		return failed("was not started: no time was left for it")
	}

	output := newTail(scrubber)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = g.cfg.Dir
	cmd.Env = append(environment(c), configured...)
	cmd.Stdout, cmd.Stderr = output, output
	ended := runGroup(ctx, cmd)

	switch {
	case ended.notStarted != nil:
		return failed("could not be started: %s", scrubber.Scrub(ended.notStarted.Error()))
	case ended.unkillable:
		// The output is still being written to; leave it.
		return failed("was killed at its timeout and has not ended; look for process %d", cmd.Process.Pid)
	}
	text := output.text(scrubber)
	if cmd.ProcessState.Success() {
		return gate.Result{Passed: true, Message: oneLine(program + " passed"), Output: text}
	}
	result := failed("ended with %s", cmd.ProcessState)
	if ended.killed {
		result = failed("%s", whyKilled(ctx))
	}
	if line := lastLine(text); line != "" {
		result.Message = oneLine(result.Message + ": " + line)
	}
	result.Output = text
	return result
}

// configured returns the configured variables with their values, and a
// scrubber that knows those that are secret.
func (g *Gate) configured() ([]string, credential.Scrubber, error) {
	var env []string
	var secrets []credential.Secret
	for _, name := range slices.Sorted(maps.Keys(g.cfg.Env)) {
		value := g.cfg.Env[name]
		secret, err := value.Resolve()
		if err != nil {
			return nil, credential.Scrubber{}, fmt.Errorf("env %s: %w", name, err)
		}
		if value.IsRef() {
			secrets = append(secrets, secret)
		}
		env = append(env, name+"="+secret.Reveal())
	}
	return env, credential.NewScrubber(secrets...), nil
}

func whyKilled(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "did not end within its timeout and was killed"
	}
	return "was killed: nobody waits for its answer any more"
}

// maxMessage keeps a message one that is read in a glance.
const maxMessage = 300

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
