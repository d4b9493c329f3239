package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

func (c *command) promote() *cobra.Command {
	cmd, ask := c.act(rollout.Promote, "Approve what a run waits for, or end its phase now",
		`Promote gives the approval that the run waits for. When it waits for nothing, it
ends the current phase now. With --full it ends every remaining phase. A verdict
against the canary still rolls the run back.`,
		`  serin promote shop --reason "checked by hand"
  serin promote shop --full --wait`)
	cmd.Flags().BoolVar(&ask.Full, "full", false, "end every remaining phase without waiting")
	return cmd
}

func (c *command) pause() *cobra.Command {
	cmd, _ := c.act(rollout.Pause, "Keep the weight of a run where it is",
		`Pause keeps the weight where it is until "serin resume". Judging goes on: a
verdict against the canary still rolls the run back.`,
		`  serin pause shop --reason "incident 4711"`)
	return cmd
}

func (c *command) resume() *cobra.Command {
	cmd, _ := c.act(rollout.Resume, "Go on after a pause, or take back a weight that somebody else set",
		`Resume ends a pause. Where somebody else has changed the weight, it takes the
weight back.`,
		`  serin resume shop`)
	return cmd
}

func (c *command) rollback() *cobra.Command {
	cmd, _ := c.act(rollout.Rollback, "Send all traffic back to stable at once",
		`Rollback sends all traffic back to stable at once and ends the run. It beats
everything else that was asked.`,
		`  serin rollback shop --reason "support calls"
  serin rollback shop --wait`)
	return cmd
}

// act is a command that puts an intent to a run.
func (c *command) act(kind rollout.IntentKind, short, long, example string) (*cobra.Command, *server.IntentRequest) {
	ask := &server.IntentRequest{Intent: kind}
	var wait bool
	var bound waiting
	var out *format
	cmd := &cobra.Command{
		Use:   string(kind) + " NAME",
		Short: short,
		Long: long + `

NAME is a rollout, or the id of a run. A run is asked through the program that
carries it: "serin serve" or "serin run". With --wait the exit code is the run's.`,
		Example:           example,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			l, r, err := c.reachRun(ctx, args[0])
			if err != nil {
				return err
			}
			defer l.close()
			answer, err := l.Ask(ctx, r.ID, *ask)
			if err != nil {
				return err
			}
			if answer.Answered && !answer.Accepted {
				return fmt.Errorf("%s of %s was refused: %s", kind, r.Rollout, answer.Message)
			}
			err = print(c.out, *out, answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s, run %d (%s → %s): %s\n", r.Rollout, r.Number, r.StableVersion, r.CanaryVersion, answer.Message)
				return err
			})
			if err != nil || !wait {
				return err
			}
			_, err = c.await(ctx, l, r, bound)
			return err
		},
	}
	cmd.Flags().StringVar(&ask.Reason, "reason", "", "why, in your own words; it becomes part of the record")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the run's end and exit with its code")
	bound.flag(cmd)
	out = outputFlag(cmd)
	return cmd, ask
}
