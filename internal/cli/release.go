package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/server"
)

// waiting are the flags of commands that wait for a run's end.
type waiting struct {
	timeout time.Duration
}

func (w *waiting) flag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.timeout, "wait-timeout", 0, "stop waiting after this long and exit 3; the run goes on (0: wait for its end)")
}

func (c *command) release() *cobra.Command {
	var version string
	var toEnd, noWait bool
	var wait waiting
	var out *format
	cmd := &cobra.Command{
		Use:   "release NAME --version V [flags] [-- COMMAND…]",
		Short: "Release a version on the daemon and wait for the run's end",
		Long: `Release starts a run of the rollout NAME on the daemon ("serin serve") and waits
until the version is promoted and the old one drained, or rolled back.

COMMAND is how the version is started; without it, the command of the rollout's
file is used. The exit code is the run's. Interrupting the wait leaves the run
going on. A version that serves already is no error: there is nothing to do.`,
		Example: `  serin release shop --version v2 -- ./shop-v2 -listen '$(ADDR)'
  serin release shop --version v2 --no-wait -o json`,
		Args:              nameThenCommand,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait.timeout < 0 {
				return usage("--wait-timeout: %s is negative; write a duration such as 3h", wait.timeout)
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			l, err := c.reach(ctx, args[0])
			if err != nil {
				return err
			}
			defer l.close()
			r, err := l.Release(ctx, args[0], server.ReleaseRequest{Version: version, Command: args[1:]})
			if server.HasCode(err, server.CodeNothingToDo) {
				fmt.Fprintf(c.err, "serin: %v; there is nothing to do\n", err)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "%s: run %d, %s → %s: %s\n", r.Rollout, r.Number, r.StableVersion, r.CanaryVersion, r.Plan.Timeline(r.StartedAt.Local()))
			if noWait || !toEnd {
				return print(c.out, *out, r, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, r.ID)
					return err
				})
			}
			r, errEnd := c.await(ctx, l, r, wait)
			if *out != asText {
				if err := print(c.out, *out, r, nil); err != nil {
					return err
				}
			}
			return errEnd
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "version to release, such as v2")
	_ = cmd.MarkFlagRequired("version")
	cmd.Flags().BoolVar(&toEnd, "wait", true, "wait for the run's end and exit with its code")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return as soon as the run has begun")
	wait.flag(cmd)
	out = outputFlag(cmd)
	return cmd
}

// nameThenCommand takes the name, and behind "--" a command.
func nameThenCommand(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(args) == 0 || dash == 0:
		return errors.New("NAME is missing: which rollout?")
	case len(args) > 1 && dash != 1:
		return fmt.Errorf("unexpected %q; write the version's command behind --", args[1])
	case dash == 1 && len(args) == 1:
		return errors.New("there is no command behind --")
	}
	return nil
}

// await follows a run to its end and returns the command's exit.
func (c *command) await(ctx context.Context, l *link, r server.Run, w waiting) (server.Run, error) {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.timeout, errWaitedEnough)
		defer cancel()
	}
	f := &follower{link: l, id: r.ID, latest: r, again: func(ctx context.Context) (*link, error) { return c.reachAgain(ctx, r) }}
	err := f.follow(ctx, displayOn(c.err))
	latest := f.latest
	switch {
	case err == nil:
		latest = archived(ctx, f.link, latest)
		if latest.Report != "" {
			fmt.Fprintf(c.err, "report: %s\n", latest.Report)
		}
		return latest, end(latest.State.State)
	case ctx.Err() != nil:
		return latest, &exit{exitWaiting, fmt.Errorf("%s; run %d of %s goes on: see `serin describe %s`, or end it with `serin rollback %s`",
			why(ctx, w), r.Number, r.Rollout, r.Rollout, r.Rollout)}
	}
	return latest, err
}

// archived waits a moment for the report of a run that has ended, so that who
// is told of the end can read it.
func archived(ctx context.Context, l *link, r server.Run) server.Run {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for !r.Archived {
		select {
		case <-ctx.Done():
			return r
		case <-time.After(50 * time.Millisecond):
		}
		if now, err := l.Run(ctx, r.ID); err == nil {
			r = now
		}
	}
	return r
}

var errWaitedEnough = errors.New("waited long enough")

func why(ctx context.Context, w waiting) string {
	if errors.Is(context.Cause(ctx), errWaitedEnough) {
		return "not ended within " + w.timeout.String()
	}
	return "interrupted"
}
