package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

func (c *command) logs() *cobra.Command {
	var number runNumber
	var arm string
	var followLogs bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what the instances of an arm have written",
		Long: `Logs prints what the running instances of a rollout's stable or canary arm have
written. With --run it prints the archived logs of that run instead, and so it
does, of the latest run, when nothing runs the rollout.`,
		Example: `  serin logs shop
  serin logs shop --arm canary -f
  serin logs shop --run 3`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if arm != "" && arm != string(rollout.Stable) && arm != string(rollout.Canary) {
				return usage("--arm: %q is not known; write stable or canary", arm)
			}
			if number != 0 && followLogs {
				return usage("--run and --follow do not go together: archived logs do not grow")
			}
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			if number != 0 {
				return c.archivedLogs(ctx, args[0], int(number))
			}
			l, err := c.reach(ctx, args[0])
			if err != nil {
				return c.latestLogs(ctx, args[0], arm == "" && !followLogs, err)
			}
			defer l.close()
			of := rollout.Arm(arm)
			if of == "" {
				if of, err = armToWatch(ctx, l, args[0]); err != nil {
					return err
				}
			}
			return c.liveLogs(ctx, l, args[0], of, followLogs)
		},
	}
	cmd.Flags().Var(&number, "run", "number of a run that has ended: print its archived logs")
	cmd.Flags().StringVar(&arm, "arm", "", "stable or canary (default: canary while a run goes on, else stable)")
	cmd.Flags().BoolVarP(&followLogs, "follow", "f", false, "go on until interrupted")
	_ = cmd.RegisterFlagCompletionFunc("arm", cobra.FixedCompletions([]string{"stable", "canary"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// armToWatch is the arm that somebody who names none means.
func armToWatch(ctx context.Context, l *link, name string) (rollout.Arm, error) {
	r, err := l.Rollout(ctx, name)
	if err != nil || r.Run == "" {
		return rollout.Stable, err
	}
	return rollout.Canary, nil
}

func (c *command) liveLogs(ctx context.Context, l *link, name string, arm rollout.Arm, follow bool) error {
	body, err := l.Logs(ctx, name, arm, follow)
	if err != nil {
		return err
	}
	err = c.copyOut(body)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case err == nil && follow:
		return fmt.Errorf("the logs of %s's %s ended: they cannot be followed here, or serin has ended", name, arm)
	}
	return err
}

// latestLogs prints what the latest run has left when nobody runs the rollout, if
// that will do; nobody is the error that says so.
func (c *command) latestLogs(ctx context.Context, name string, willDo bool, nobody error) error {
	l, r, err := c.connectToRun(ctx, name, 0)
	if err != nil {
		return c.notFound(err, nobody)
	}
	l.close()
	if !r.Ended() || !willDo {
		return nobody
	}
	fmt.Fprintf(c.err, "nothing runs %s; run %d (%s → %s) has left:\n", r.Rollout, r.Number, r.StableVersion, r.CanaryVersion)
	return c.archivedLogs(ctx, r.Rollout, r.Number)
}

func (c *command) archivedLogs(ctx context.Context, name string, number int) error {
	l, r, err := c.connectToRun(ctx, name, number)
	if err != nil {
		return err
	}
	defer l.close()
	body, err := l.ArchivedLogs(ctx, r.ID)
	if server.HasCode(err, server.CodeNotYet) && !r.Ended() {
		return usage("run %d of %s goes on; without --run its instances' logs are printed", r.Number, r.Rollout)
	}
	if err != nil {
		return err
	}
	return c.copyOut(body)
}
