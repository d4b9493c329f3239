package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/server"
)

// items is how lists are printed for programs.
type items[T any] struct {
	Items []T `json:"items"`
}

// listed is one rollout in the answer of get.
type listed struct {
	server.Rollout
	// Latest is the run that goes on, or else the latest.
	Latest *server.Run `json:"latest,omitempty"`
}

func (c *command) get() *cobra.Command {
	var out *format
	cmd := &cobra.Command{
		Use:   "get [NAME]",
		Short: "List rollouts and how they are",
		Long: `Get lists the rollouts of the daemon or, when none is running, those that have
runs in the state folder. With NAME it lists only that one.`,
		Example: `  serin get
  serin get shop -o json`,
		Args:              optionalName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			l, err := c.connect(ctx, name)
			if err != nil {
				return err
			}
			defer l.Close()
			all, err := list(ctx, l, name)
			if err != nil {
				return err
			}
			return print(c.out, *out, items[listed]{all}, func(w io.Writer) error { return tellRollouts(w, all) })
		},
	}
	out = outputFlag(cmd)
	return cmd
}

func list(ctx context.Context, l *link, name string) ([]listed, error) {
	var rollouts []server.Rollout
	if name != "" {
		r, err := l.Rollout(ctx, name)
		if err != nil {
			return nil, err
		}
		rollouts = append(rollouts, r)
	} else {
		var err error
		if rollouts, err = l.Rollouts(ctx); err != nil {
			return nil, err
		}
	}
	all := make([]listed, len(rollouts))
	for i, r := range rollouts {
		all[i].Rollout = r
		runs, err := l.Runs(ctx, r.Name, 1)
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			all[i].Latest = &runs[0]
		}
	}
	return all, nil
}

func tellRollouts(w io.Writer, all []listed) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tSERVING\tREADY\tCANDIDATE\tRUN\tPHASE\tWEIGHT\tADDRESS")
	for _, r := range all {
		candidate, run, phase, weight := "-", "-", "-", "-"
		if latest := r.Latest; latest != nil && !latest.Ended() {
			candidate, run = latest.CanaryVersion, string(latest.Standing)
			phase = phaseOf(*latest)
			weight = fmt.Sprintf("%d %%", r.Weight)
		} else if latest != nil {
			candidate, run = latest.CanaryVersion, string(latest.Standing)
		}
		ready := "-"
		if r.Stable.Instances > 0 {
			ready = fmt.Sprintf("%d/%d", r.Stable.Ready, r.Stable.Instances)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, or(r.Serving), ready, candidate, run, phase, weight, or(r.Listen))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		if r.Problem != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Name, r.Problem)
		}
	}
	return nil
}

// phaseOf says how far a run is: "2/5", or its status outside phases.
func phaseOf(r server.Run) string {
	if r.State.Status == engine.Progressing {
		return fmt.Sprintf("%d/%d", r.State.Phase+1, len(r.Plan.Phases))
	}
	return string(r.State.Status)
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
