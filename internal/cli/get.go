package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
			var all []listed
			var err error
			if len(args) > 0 {
				all, err = c.listOne(cmd.Context(), args[0])
			} else {
				all, err = c.listAll(cmd.Context())
			}
			if err != nil {
				return err
			}
			return print(c.out, *out, items[listed]{all}, func(w io.Writer) error { return tellRollouts(w, all) })
		},
	}
	out = outputFlag(cmd)
	return cmd
}

// listAll lists the rollouts of the daemon, or those that the state folder
// knows, and those of foreground runs.
func (c *command) listAll(ctx context.Context) ([]listed, error) {
	l, err := c.connect(ctx, "")
	if err != nil {
		return nil, err
	}
	defer l.close()
	rollouts, err := l.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	all, err := withRuns(ctx, l, rollouts)
	if err != nil {
		return nil, err
	}
	state, err := c.stateDir()
	if err != nil {
		return nil, err
	}
	for _, socket := range runSockets(state) {
		own, err := listAt(ctx, socket)
		if err != nil {
			continue // it has just ended
		}
		for _, r := range own {
			all = slices.DeleteFunc(all, func(o listed) bool { return o.Name == r.Name })
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// runSockets lists the sockets of foreground runs, dead or alive.
func runSockets(state string) []string {
	entries, err := os.ReadDir(filepath.Join(state, "rollouts"))
	if err != nil {
		return nil // nothing has run in the foreground
	}
	var sockets []string
	for _, e := range entries {
		socket := server.RunSocket(state, e.Name())
		if _, err := os.Lstat(socket); err == nil {
			sockets = append(sockets, socket)
		}
	}
	return sockets
}

func listAt(ctx context.Context, socket string) ([]listed, error) {
	client, err := server.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	rollouts, err := client.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	return withRuns(ctx, &link{Client: client}, rollouts)
}

func (c *command) listOne(ctx context.Context, name string) ([]listed, error) {
	l, err := c.connect(ctx, name)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r, err := l.Rollout(ctx, name)
	if err != nil {
		return nil, err
	}
	return withRuns(ctx, l, []server.Rollout{r})
}

// withRuns adds the latest run of each rollout.
func withRuns(ctx context.Context, l *link, rollouts []server.Rollout) ([]listed, error) {
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
			candidate, run = latest.CanaryVersion, inWords(latest.Standing)
			phase = phaseOf(*latest)
			weight = fmt.Sprintf("%d %%", r.Weight)
		} else if latest != nil {
			candidate, run = latest.CanaryVersion, inWords(latest.Standing)
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
		if r.Problem != "" && (r.Latest == nil || r.Run != "" || r.Stable.Instances > 0) {
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

// inWords says how a run stands as people do.
func inWords(s server.Standing) string {
	if s == server.RolledBack {
		return "rolled back"
	}
	return string(s)
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
