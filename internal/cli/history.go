package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

func (c *command) history() *cobra.Command {
	var limit int
	var out *format
	cmd := &cobra.Command{
		Use:   "history [NAME]",
		Short: "List runs, the newest first, and how they ended",
		Long: `History lists the runs of a rollout, or of all, the newest first: what was
released, how it ended, and for a rollback why.`,
		Example: `  serin history shop
  serin history shop --limit 1 -o json`,
		Args:              optionalName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usage("--limit: %d is not between 1 and 1000", limit)
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			l, err := c.connect(cmd.Context(), name)
			if err != nil {
				return err
			}
			defer l.close()
			runs, err := l.Runs(cmd.Context(), name, limit)
			if err != nil {
				return err
			}
			if len(runs) == 0 && name != "" {
				if _, err := l.Rollout(cmd.Context(), name); err != nil {
					return err
				}
			}
			return print(c.out, *out, items[server.Run]{runs}, func(w io.Writer) error { return tellRuns(w, runs) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many, 1 to 1000")
	out = outputFlag(cmd)
	return cmd
}

func tellRuns(w io.Writer, runs []server.Run) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "ROLLOUT\tNUMBER\tRELEASE\tEND\tSTARTED\tLASTED\tBY\tWHY")
	for _, r := range runs {
		lasted := "-"
		if !r.EndedAt.IsZero() {
			lasted = rollout.Words(r.EndedAt.Sub(r.StartedAt).Round(time.Second))
		}
		fmt.Fprintf(t, "%s\t%d\t%s → %s\t%s\t%s\t%s\t%s\t%s\n", r.Rollout, r.Number, r.StableVersion, r.CanaryVersion,
			inWords(r.Standing), r.StartedAt.Local().Format(time.DateTime), lasted, or(r.Actor), cause(r))
	}
	return t.Flush()
}

// cause is in one line why a run was rolled back or what it waits for.
func cause(r server.Run) string {
	if len(r.State.Cause) > 0 {
		return r.State.Cause[0].Message
	}
	if h := r.State.Hold; h != nil && !r.Ended() {
		return h.Message
	}
	return ""
}
