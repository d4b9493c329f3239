package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// catchUp bounds the wait for the display to show a run's end.
const catchUp = 3 * time.Second

func (c *command) run() *cobra.Command {
	var file string
	var keep bool
	var timeout time.Duration
	var out *format
	cmd := &cobra.Command{
		Use:   "run -f FILE",
		Short: "Carry out one run on this machine, everything in one process",
		Long: `Run starts stable, the canary and the proxy of FILE, releases the canary, and ends
with the run: exit 0 when it was promoted, 2 when it was rolled back. The path of
its report is printed at the end, with -o json or yaml the run itself. With --keep
it goes on serving the winner until it is interrupted.

While it runs, "serin promote", "pause", "resume", "rollback" and "describe" work
from another terminal. The first interrupt rolls the run back; the second does
not wait for anything.

A run that can only go on when a person decides waits for one. Without a terminal
nobody may be there: then, after the plan's holdTimeout, it is rolled back with
exit 3. Approvals and pauses are waited for all the same, and --wait-timeout
replaces this rule.`,
		Example: `  serin run -f shop.yaml
  serin run -f shop.yaml --keep
  serin run -f shop.yaml --wait-timeout 3h   # in a pipeline`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout < 0 {
				return usage("--wait-timeout: %s is negative; write a duration such as 3h", timeout)
			}
			state, err := c.stateDir()
			if err != nil {
				return err
			}
			if err := c.announce(file); err != nil {
				return err
			}
			ctx, hurry, stop := untilSignal(cmd.Context())
			defer stop()
			return c.runAndShow(ctx, hurry, *out, RunOptions{
				State: state, File: file, Actor: server.CurrentUser(), Keep: keep, WaitTimeout: timeout,
				Unattended: !interactive(c.err) && !cmd.Flags().Changed("wait-timeout"),
			})
		},
	}
	fileFlag(cmd, &file, "file with the rollout")
	cmd.Flags().BoolVar(&keep, "keep", false, "go on serving the winner after the run")
	out = outputFlag(cmd)
	cmd.Flags().DurationVar(&timeout, "wait-timeout", 0, "roll a run back that has not ended after this long (0: no bound)")
	return cmd
}

// announce prints the timeline of the rollout in a file.
func (c *command) announce(path string) error {
	data, err := c.readFile(path)
	if err != nil {
		return err
	}
	rollouts, warnings, err := rollout.ParseAll(path, data, c.Catalog)
	c.warn(warnings)
	if err != nil {
		return err
	}
	for _, r := range rollouts {
		if _, err := fmt.Fprintf(c.err, "%s: %s\n", r.Metadata.Name, r.Spec.Plan.Timeline(time.Now())); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) runAndShow(ctx context.Context, hurry <-chan struct{}, f format, o RunOptions) error {
	d := displayOn(c.err)
	o.Logger = logger(d, slog.LevelWarn)
	shown := make(chan struct{})
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	begun := false
	o.Begun = func(run store.Run, listen string, resumed bool) {
		begun = true
		c.tellBegun(run, listen, resumed)
		go func() {
			defer close(shown)
			c.showRun(follow, d, o.State, run)
		}()
	}
	var told *error // what came of telling the run's end, once that is told
	o.Ended = func(run store.Run) {
		select {
		case <-shown:
		case <-time.After(catchUp):
		}
		if o.Keep { // this program does not end with the run
			err := c.tellRun(context.WithoutCancel(ctx), f, run)
			told = &err
		}
	}
	type ended struct {
		RunEnd
		err error
	}
	done := make(chan ended, 1)
	go func() {
		end, err := c.Run(ctx, o)
		done <- ended{end, err}
	}()
	select {
	case <-hurry:
		return errors.Join(d.close(), errors.New("stopped without waiting: processes of this rollout may be left; the next `serin run` takes them over"))
	case e := <-done:
		stop()
		if begun {
			<-shown
		}
		if e.err != nil {
			return e.err
		}
		if told == nil {
			err := c.tellRun(context.WithoutCancel(ctx), f, e.Run)
			told = &err
		}
		switch {
		case *told != nil:
			return *told
		case e.Waited:
			return &exit{exitWaiting, errors.New("the run was given up while it waited for a person")}
		}
		return end(e.Run.State)
	}
}

func (c *command) tellBegun(run store.Run, listen string, resumed bool) {
	what := "begins"
	if resumed {
		what = "goes on"
	}
	fmt.Fprintf(c.err, "%s: run %d, %s → %s, %s; users are served at %s\n", run.Rollout, run.Number, run.StableVersion, run.CanaryVersion, what, listen)
}

// showRun shows a run of this process through its own API.
func (c *command) showRun(ctx context.Context, d *display, state string, run store.Run) {
	client, err := server.Dial(ctx, server.RunSocket(state, run.Rollout))
	if err == nil {
		defer client.Close()
		f := &follower{link: &link{Client: client, done: func() error { return nil }}, id: run.ID}
		err = f.follow(ctx, d)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(d, "serin: the run goes on but cannot be shown: %v\n", err)
	}
}

// tellRun prints a run that has ended.
func (c *command) tellRun(ctx context.Context, f format, run store.Run) error {
	if f == asText {
		if run.Report == "" {
			return nil
		}
		_, err := fmt.Fprintf(c.out, "%s\n", run.Report)
		return err
	}
	// As the API tells it, which is how every command does.
	l, r, err := c.connectToRun(ctx, run.ID, 0)
	if err != nil {
		return err
	}
	defer l.close()
	return print(c.out, f, r, nil)
}

// logger returns the program's log. Where a run is shown, its changes are told
// already, so only trouble is left to log.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	if os.Getenv("SERIN_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
