package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/simulate"
)

// simulated is the answer of simulate.
type simulated struct {
	Traffic simulate.Traffic `json:"traffic"`
	// From says where the figures of the traffic come from.
	From      string             `json:"trafficFrom"`
	Seed      uint64             `json:"seed"`
	Runs      int                `json:"runs"`
	NotJudged []string           `json:"notJudged"`
	Scenarios []simulate.Outcome `json:"scenarios"`
	Findings  []simulate.Finding `json:"findings"`
}

func (c *command) simulate() *cobra.Command {
	var file string
	var asked []string
	var runs int
	var seed uint64
	var list, schema bool
	var expect traffic
	var out *format
	cmd := &cobra.Command{
		Use:   "simulate -f FILE",
		Short: "Try a plan on releases that never happen",
		Long: `Simulate plays releases of simulated traffic through the plan and the checks of
FILE, decided as real ones are: how often a healthy version is rolled back, how
often a bad one gets through, how long it takes and how many requests are worse
off meanwhile. Then it says in words what the plan would miss at this traffic, and
which change of it would help, found by trying.

What the service is like is said by flags, or with --measured read from the
Prometheus that FILE names: stable's last day. --scenario takes names of --list,
or files of scenarios of your own, for which --schema prints the JSON Schema that
editors use. Tests are taken to pass and approvals to be
given at once; a run that comes to wait for a person has ended. The same seed
gives the same table, on any machine.

It exits with 0 whatever comes out: it measures, it does not judge.`,
		Example: `  serin simulate -f shop.yaml --requests-per-second 40 --error-rate 0.5%
  serin simulate -f shop.yaml --scenario healthy --scenario errors-2.5x --runs 1000
  serin simulate -f shop.yaml --scenario ours.yaml -o json
  serin simulate --list
  serin simulate --schema > scenarios.schema.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				return print(c.out, *out, items[simulate.Scenario]{simulate.Library()}, tellLibrary)
			}
			if schema {
				s, err := c.ScenarioSchema()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "%s\n", s)
				return err
			}
			if file == "" {
				return usage("-f is missing: which file? see `serin simulate --help`")
			}
			if runs < 1 || runs > maxRuns {
				return usage("--runs: %d is not between 1 and %d", runs, maxRuns)
			}
			if file == "-" {
				return usage("-f -: simulate reads FILE by its name")
			}
			r, err := c.readRollout(file)
			if err != nil {
				return err
			}
			spec := r.Spec
			result := simulated{Seed: seed, Runs: runs, NotJudged: []string{}}
			if result.Traffic, result.From, err = c.expected(cmd.Context(), file, *r, expect); err != nil {
				return err
			}
			if err := c.simulateAll(cmd.Context(), engine.PlanOf(spec), asked, &result); err != nil {
				return err
			}
			return print(c.out, *out, result, func(w io.Writer) error { return result.text(w, spec) })
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the rollout; of it, plan and analysis are used")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	cmd.Flags().StringArrayVar(&asked, "scenario", nil, "scenario of --list, or file of scenarios; may be repeated (default all that the plan's checks can see)")
	cmd.Flags().IntVar(&runs, "runs", 100, fmt.Sprintf("runs of each scenario, 1 to %d", maxRuns))
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed of chance")
	cmd.Flags().BoolVar(&list, "list", false, "list the scenarios and exit")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of a file of scenarios and exit")
	expect.flags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("scenario", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, s := range simulate.Library() {
			names = append(names, s.Name+"\t"+s.Description)
		}
		return names, cobra.ShellCompDirectiveDefault
	})
	out = outputFlag(cmd)
	return cmd
}

// maxRuns is more than anybody waits for.
const maxRuns = 1_000_000

// simulateAll measures what was asked for and looks for what would help.
func (c *command) simulateAll(ctx context.Context, plan engine.Plan, asked []string, into *simulated) error {
	judged, unjudged := simulate.Judged(plan, into.Traffic)
	for _, t := range unjudged {
		into.NotJudged = append(into.NotJudged, string(t))
	}
	scenarios, err := c.scenarios(asked)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		scenarios = simulate.Applicable(simulate.Library(), judged)
	}
	o := simulate.Options{Plan: plan, Traffic: into.Traffic, Scenarios: scenarios, Runs: into.Runs, Seed: into.Seed}
	bar := c.newBar("runs")
	o.Progress = bar.show
	if into.Scenarios, err = simulate.Measure(ctx, o); err != nil {
		bar.end()
		return err
	}
	if len(asked) > 0 {
		judged = nil // what else the plan could see was not asked
	}
	into.Findings, err = simulate.Findings(ctx, o, into.Scenarios, judged)
	bar.end()
	return err
}

// scenarios are those asked for by name or file.
func (c *command) scenarios(asked []string) ([]simulate.Scenario, error) {
	var all []simulate.Scenario
	for _, name := range asked {
		if s, ok := simulate.Find(name); ok {
			all = append(all, s)
			continue
		}
		if !strings.ContainsAny(name, "./") {
			return nil, usage("--scenario: %q is not a scenario; `serin simulate --list` lists them, and a file of your own is named by its path", name)
		}
		data, err := c.readFile(name)
		if err != nil {
			return nil, usage("--scenario %s is neither a scenario of `serin simulate --list` nor a file: %w", name, err)
		}
		own, err := simulate.ParseScenarios(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, own...)
	}
	return all, nil
}

func tellLibrary(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SCENARIO\tTHE NEW VERSION")
	for _, s := range simulate.Library() {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Description)
	}
	return t.Flush()
}

func (s simulated) text(w io.Writer, spec rollout.Spec) error {
	fmt.Fprintf(w, "traffic: %s (%s)\nplan: %s\n", describeTraffic(s.Traffic), s.From, planInWords(spec.Plan))
	if len(s.NotJudged) > 0 {
		fmt.Fprintf(w, "not judged here: %s\n", strings.Join(s.NotJudged, ", "))
	}
	fmt.Fprintf(w, "%d runs of each scenario, seed %d\n\n", s.Runs, s.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ROLLED BACK\tPROMOTED\tPAUSED\tTIME TO ROLLBACK\tAFFECTED\tCANARY REQUESTS\tDURATION\t  SCENARIO")
	for _, o := range s.Scenarios {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t  %s\n",
			percentOf(o.RolledBack, o.Runs), percentOf(o.Promoted, o.Runs), percentOf(o.Paused, o.Runs), toRollback(o),
			count(o.Affected), count(o.CanaryRequests), lastingOr(o.Duration), mark(o))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\n+ should be promoted   - should be rolled back   ~ worse by less than the margin, or for a while: either is right")
	fmt.Fprintln(w, "times are medians, the slowest tenth in brackets; affected and canary requests are means of a run")
	if len(s.Findings) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range s.Findings {
		fmt.Fprintf(w, "- %s\n", f.Text)
	}
	return nil
}

// mark is a scenario with what should become of it.
func mark(o simulate.Outcome) string {
	sign := map[simulate.Expectation]string{simulate.Promote: "+", simulate.Rollback: "-", simulate.Either: "~"}[o.Expected]
	text := sign + " " + o.Scenario
	if o.Description != "" {
		text += ": " + o.Description
	}
	return text
}

func percentOf(n, all int) string {
	switch part := 100 * float64(n) / float64(max(1, all)); {
	case n == 0:
		return "-"
	case n == all:
		return "100 %"
	case part < 10:
		return fmt.Sprintf("%.2g %%", part)
	default:
		return fmt.Sprintf("%.3g %%", part)
	}
}

func toRollback(o simulate.Outcome) string {
	if o.Median == 0 {
		return "-"
	}
	return lasting(o.Median) + " (" + lasting(o.P90) + ")"
}

func lasting(seconds float64) string {
	return rollout.Words(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}

func lastingOr(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return lasting(seconds)
}

// count writes a number of requests.
func count(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	}
	return grouped3(fmt.Sprintf("%.0f", v))
}

// grouped3 puts a comma before every three digits.
func grouped3(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// planInWords is a plan's phases without any time of day.
func planInWords(p rollout.Plan) string {
	words, _, _ := strings.Cut(p.Timeline(time.Time{}).String(), ", ends about")
	if p.Early != nil {
		words += " or sooner"
	}
	return words
}
