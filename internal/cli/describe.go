package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

// described is the answer of describe.
type described struct {
	Rollout *server.Rollout `json:"rollout,omitempty"`
	Run     server.Run      `json:"run"`
	// Decisions are the latest worth telling, newest first.
	Decisions []told `json:"decisions"`
	view      view.Model
	// inPlace: nobody carries the run.
	inPlace bool
}

// told is one decision in words.
type told struct {
	At       time.Time `json:"at"`
	Decision string    `json:"decision"`
	Phase    int       `json:"phase"`
	Weight   int       `json:"weight"`
	Text     string    `json:"text"`
}

func (c *command) describe() *cobra.Command {
	var number runNumber
	var out *format
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Say how a run is: phase, weight, checks, holds, decisions",
		Long: `Describe tells of the run of a rollout that goes on, or of its latest: the phase,
the weight asked for and seen, each check with its ratio and evidence, what holds
it and what to do about that, and the last decisions in words. Requests that go to
a version whatever the weight, such as testers', are told where the route may be
read, and otherwise that it may not be.

NAME is a rollout, or the id of a run.`,
		Example: `  serin describe shop
  serin describe shop --run 3 -o yaml`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, r, err := c.connectToRun(cmd.Context(), args[0], int(number))
			if err != nil {
				return err
			}
			defer l.close()
			d, err := gather(cmd.Context(), l, r)
			if err != nil {
				return err
			}
			return print(c.out, *out, d, d.text)
		},
	}
	cmd.Flags().Var(&number, "run", "number of the run (default: the one that goes on, or the latest)")
	out = outputFlag(cmd)
	return cmd
}

// gather reads all of a run's record.
func gather(ctx context.Context, l *link, r server.Run) (described, error) {
	d := described{Run: r, Decisions: []told{}, inPlace: l.inPlace}
	history := &view.History{}
	for after := 0; ; {
		events, err := l.Events(ctx, r.ID, after, 0)
		if err != nil {
			return d, err
		}
		if err := history.AddLines(events.Lines); err != nil {
			return d, err
		}
		d.Run, after = events.Run, events.Next
		if len(events.Lines) == 0 {
			break
		}
	}
	if known, err := l.Rollout(ctx, r.Rollout); err == nil {
		d.Rollout = &known
	} else if !server.Answered(err) {
		return d, err
	}
	d.view = view.FromRun(d.Run.Stored(), history, time.Now())
	for _, m := range d.view.Decisions {
		d.Decisions = append(d.Decisions, told{m.At, string(m.Kind), m.Phase, m.Weight, m.Text})
	}
	return d, nil
}

func (d described) text(w io.Writer) error {
	var b strings.Builder
	r := d.Run
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		if name != "" {
			name += ":"
		}
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("Rollout", "%s", r.Rollout)
	if d.Rollout != nil {
		if d.Rollout.Listen != "" {
			line("Address", "%s", d.Rollout.Listen)
		}
		serving := or(d.Rollout.Serving)
		if n := d.Rollout.Stable.Instances; n > 0 {
			serving += fmt.Sprintf(", %d of %d instances ready", d.Rollout.Stable.Ready, n)
		}
		line("Serving", "%s", serving)
		for _, a := range d.Rollout.Asides {
			line("Besides", "%s", a)
		}
		if why := d.Rollout.AsidesUnknown; why != "" {
			line("Besides", "which requests go to a version whatever the weight %s", why)
		}
		if d.Rollout.Problem != "" && (!d.inPlace || !r.Ended()) {
			line("Problem", "%s", d.Rollout.Problem)
		}
	}
	line("Run", "%d (%s), %s → %s, by %s", r.Number, r.ID, r.StableVersion, r.CanaryVersion, or(r.Actor))
	line("Began", "%s", r.StartedAt.Local().Format(time.DateTime))
	d.standing(line)
	if err := t.Flush(); err != nil {
		return err
	}
	d.checks(&b)
	d.decisions(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (d described) standing(line func(name, format string, args ...any)) {
	r, m := d.Run, d.view
	switch {
	case r.Ended():
		line("Ended", "%s, %s after %s", r.EndedAt.Local().Format(time.DateTime), inWords(r.Standing), rollout.Words(r.EndedAt.Sub(r.StartedAt).Round(time.Second)))
	case m.Current >= 0 && m.Current < len(m.Phases):
		ph := m.Phases[m.Current]
		line("Phase", "%d of %d at %d %%, %s of %s watched, %s to go if nothing holds", m.Current+1, len(m.Phases), ph.Weight,
			rollout.Words(ph.Watched.Round(time.Second)), rollout.Words(ph.Duration), rollout.Words(m.Left.Round(time.Second)))
	default:
		line("Phase", "%s", r.State.Status)
	}
	if !r.Ended() {
		seen := "not known"
		if m.InEffect != nil {
			seen = fmt.Sprintf("%d %%", *m.InEffect)
		}
		line("Weight", "%d %% asked, %s in effect", m.Asked, seen)
	}
	if m.Hold != nil {
		line("Held", "%s", m.Hold.Message)
		for _, do := range m.Hold.Do {
			line("", "%s", do)
		}
	}
	if lost := r.State.Baseline.Lost; lost != "" {
		line("Baseline", "given up, so the canary is compared with stable: %s", lost)
	}
	if n := r.State.Complaints; n.All() > 0 {
		line("Complaints", "%d about the canary, %d about stable, %d with the version not known", n.Canary, n.Stable, n.Unknown)
	}
	for _, why := range r.State.Cause {
		if why.Against() {
			line("Cause", "%s", why.Message)
		}
	}
	if r.Report != "" {
		line("Report", "%s", r.Report)
	}
}

func (d described) checks(b *strings.Builder) {
	if len(d.view.Checks) == 0 {
		return
	}
	fmt.Fprintln(b, "\nChecks:")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range d.view.Checks {
		if c.Verdict == "" {
			fmt.Fprintf(t, "  %s\tno tick has been judged yet\n", c.Name)
			continue
		}
		ratio := "-"
		if c.Ratio > 0 {
			ratio = fmt.Sprintf("%.3g×", c.Ratio)
			if c.Ratio >= 1000 {
				ratio = ">1000×"
			}
			if c.Low > 0 && c.High > 0 {
				ratio += fmt.Sprintf(" [%.3g, %.3g]", c.Low, c.High)
			}
		}
		fmt.Fprintf(t, "  %s\t%s\tratio %s\tevidence %.3g of %.3g\t%s\n", c.Name, c.Verdict, ratio, c.Evidence, c.Needed, c.Message)
	}
	_ = t.Flush() // a strings.Builder does not fail
	for _, c := range d.view.Checks {
		for _, x := range c.NewClasses {
			critical := ""
			if x.Critical {
				critical = ", critical"
			}
			fmt.Fprintf(b, "  new in the canary: %q, %.0f times in %d ticks, first at %s%s\n", x.Class, x.Count, x.Ticks, x.First.Local().Format("15:04:05"), critical)
		}
	}
}

func (d described) decisions(b *strings.Builder) {
	if len(d.Decisions) == 0 {
		return
	}
	fmt.Fprintln(b, "\nDecisions, the latest first:")
	const most = 10
	for _, m := range d.Decisions[:min(most, len(d.Decisions))] {
		fmt.Fprintf(b, "  %s  %s, weight %d %%: %s\n", m.At.Local().Format(time.TimeOnly), m.Decision, m.Weight, m.Text)
	}
}
