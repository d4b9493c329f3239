package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/backtest"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// backtested is the answer of backtest.
type backtested struct {
	Releases []pastRelease `json:"releases"`
	// Unseen are times in which a release may have been that nobody can judge.
	Unseen []backtest.Unseen `json:"unseen,omitempty"`
}

// pastRelease is one release and what each plan would have made of it.
type pastRelease struct {
	// Name is the record's file, or the range.
	Name string `json:"name"`
	// Found is set for a release that was found by the versions' series.
	Found *backtest.Found `json:"found,omitempty"`
	// Problem says why a release that was found cannot be judged.
	Problem string `json:"problem,omitempty"`
	// From and To are those of the ticks that were read; the first has the
	// canary's first requests.
	From  time.Time       `json:"from"`
	To    time.Time       `json:"to"`
	Ticks int             `json:"ticks"`
	Holes []backtest.Hole `json:"holes"`
	Plans []pastVerdict   `json:"plans"`
}

type pastVerdict struct {
	File   string `json:"file"`
	Answer string `json:"answer"`
	backtest.Verdict
}

type backtestFlags struct {
	files, from, to, records []string
	url, incident, releases  string
	stable, canary           string
	stableSet, canarySet     string
}

func (c *command) backtest() *cobra.Command {
	var f backtestFlags
	var out *format
	cmd := &cobra.Command{
		Use:   "backtest -f FILE --prometheus URL --from TIME --to TIME",
		Short: "Say what a plan would have decided about past releases",
		Long: `Backtest shows the plan and the checks of FILE what was recorded of a past release
and prints the decisions it would have made: "would this have caught the incident,
and when?" With several -f it shows the plans side by side.

The figures come from a Prometheus, by the queries of FILE, in the range from
--from to --to; repeat both for several releases. Or they come from archived
records of runs (--record). With --releases the range may be weeks long: the
releases in it are found by an expression of PromQL that has a series for each
version, such as 'sum by (version) (rate(http_requests_total{job="shop"}[1m]))'. A
version that appears beside another is a release, from then on until one of the two
has gone. $(version) in the queries of FILE stands for each release's own versions.

Otherwise the release is taken to begin with the canary's first
requests in the range. Holes in the figures are listed; they are no data, which is
never a pass.

Each tick is judged at the share of the requests that the canary really got. Time
passes for the plan as if its own weights had been in effect: where they differ, it
says so. Tests are taken to have passed and approvals to have been given at once.

It exits with 0 when there is an answer, whatever it is.`,
		Example: `  serin backtest -f shop.yaml --prometheus http://prometheus:9090 --from 2026-03-03T10:00:00Z --to 2026-03-03T12:30:00Z
  serin backtest -f shop.yaml --prometheus http://prometheus:9090 --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z --releases 'sum by (version) (rate(http_requests_total{job="shop"}[1m]))'
  serin backtest -f shop.yaml -f bolder.yaml --record ~/.local/state/serin/archive/shop/*/record.jsonl
  serin backtest -f shop.yaml --prometheus http://prometheus:9090 --from 2026-03-03T10:00:00Z --to 2026-03-03T12:30:00Z --incident 2026-03-03T10:40:00Z`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := c.backtestAll(cmd.Context(), f)
			if err != nil {
				return err
			}
			return print(c.out, *out, result, result.text)
		},
	}
	cmd.Flags().StringArrayVarP(&f.files, "file", "f", nil, "file with the rollout; may be repeated to compare plans")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	cmd.Flags().StringVar(&f.url, "prometheus", "", "address of the Prometheus that has recorded the release (default the one that FILE names)")
	cmd.Flags().StringArrayVar(&f.from, "from", nil, "beginning of the range, such as 2026-03-03T10:00:00Z; may be repeated")
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "its end")
	cmd.Flags().StringVar(&f.releases, "releases", "", "PromQL that has a series for each version: finds the releases in the range")
	cmd.Flags().StringArrayVar(&f.records, "record", nil, "archived record of a run, instead of a range; may be repeated")
	_ = cmd.MarkFlagFilename("record", "jsonl")
	cmd.Flags().StringVar(&f.incident, "incident", "", "when the incident began, to say how long before or after it the plan would have acted")
	cmd.Flags().StringVar(&f.stable, "stable-version", "", "what $(version) stands for in queries of stable (default the file's)")
	cmd.Flags().StringVar(&f.canary, "canary-version", "", "what $(version) stands for in queries of the canary (default the file's)")
	cmd.Flags().StringVar(&f.stableSet, "stable-replicaset", "", "ReplicaSet that stable's pods had, for queries with $(pods)")
	cmd.Flags().StringVar(&f.canarySet, "canary-replicaset", "", "ReplicaSet that the canary's pods had, for queries with $(pods)")
	out = outputFlag(cmd)
	return cmd
}

// timeOf reads a flag's time.
func timeOf(flag, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usage("--%s: %q is not a time; write one such as 2026-03-03T10:00:00Z", flag, text)
	}
	return at, nil
}

func (f backtestFlags) windows() ([]backtest.Window, error) {
	switch {
	case len(f.records) > 0 && len(f.from)+len(f.to) > 0:
		return nil, usage("--record and --from are two sources; write one of them")
	case f.releases != "" && (f.stable != "" || f.canary != "" || f.stableSet != "" || f.canarySet != ""):
		return nil, usage("--releases finds the versions; leave out --stable-version, --canary-version, --stable-replicaset and --canary-replicaset")
	case f.releases != "" && len(f.from) == 0:
		return nil, usage("--releases looks through a range; write --from and --to")
	case len(f.records) == 0 && len(f.from) == 0:
		return nil, usage("which release? write --from and --to, or --record; see `serin backtest --help`")
	case len(f.from) != len(f.to):
		return nil, usage("--from is written %d times and --to %d times; write one --to for each --from", len(f.from), len(f.to))
	}
	var all []backtest.Window
	for i := range f.from {
		from, err := timeOf("from", f.from[i])
		if err != nil {
			return nil, err
		}
		to, err := timeOf("to", f.to[i])
		if err != nil {
			return nil, err
		}
		all = append(all, backtest.Window{From: from, To: to})
	}
	return all, nil
}

// plannedFile is a file's rollout and its plan.
type plannedFile struct {
	file    string
	rollout *rollout.Rollout
	plan    engine.Plan
}

func (c *command) backtestAll(ctx context.Context, f backtestFlags) (backtested, error) {
	result := backtested{Releases: []pastRelease{}}
	windows, err := f.windows()
	if err != nil {
		return result, err
	}
	var incident time.Time
	if f.incident != "" {
		if incident, err = timeOf("incident", f.incident); err != nil {
			return result, err
		}
	}
	var plans []plannedFile
	for _, file := range f.files {
		r, err := c.readRollout(file)
		if err != nil {
			return result, err
		}
		plans = append(plans, plannedFile{file, r, engine.PlanOf(r.Spec)})
	}
	for _, w := range windows {
		if f.releases != "" {
			if err := c.backtestFound(ctx, f, plans, w, incident, &result); err != nil {
				return result, err
			}
			continue
		}
		release := pastRelease{Name: w.From.Format(time.RFC3339) + " to " + w.To.Format(time.RFC3339)}
		// Plans of the same ticks and queries are shown the same figures.
		for i, p := range plans {
			o := RecordedOptions{URL: f.url, Versions: pair(f.stable, f.canary), ReplicaSets: pair(f.stableSet, f.canarySet)}
			ticks, err := c.series(ctx, o, p, w)
			if errors.Is(err, backtest.ErrNothing) {
				err = usage("%s, %s to %s: %w; look whether the range is that of the release, and whether `serin doctor` finds the series", p.file, w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), err)
			}
			if err != nil {
				return result, err
			}
			release.judge(p, ticks, incident, i == 0)
		}
		result.Releases = append(result.Releases, release)
	}
	for _, name := range f.records {
		ticks, err := readTicks(name)
		if err != nil {
			return result, err
		}
		release := pastRelease{Name: name}
		for i, p := range plans {
			release.judge(p, ticks, incident, i == 0)
		}
		result.Releases = append(result.Releases, release)
	}
	return result, nil
}

func readTicks(name string) ([]rollout.Tick, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, usage("--record: %w; `serin report NAME -o record` prints the record of a run, here or on a cluster", err)
	}
	defer in.Close()
	_, ticks, err := backtest.Record(in)
	if err != nil {
		return nil, usage("--record %s: %w", name, err)
	}
	return ticks, nil
}

// series reads a window by a file's queries.
func (c *command) series(ctx context.Context, o RecordedOptions, p plannedFile, w backtest.Window) ([]rollout.Tick, error) {
	interval := time.Duration(p.plan.Analysis.Interval)
	if err := w.Check(interval); err != nil {
		return nil, usage("--from, --to: %w", err)
	}
	rec, err := c.Recorded(*p.rollout, o)
	if err != nil {
		return nil, usage("%s: %w", p.file, err)
	}
	defer func() { _ = rec.Close() }()
	var weights []int
	for _, ph := range p.plan.Phases {
		weights = append(weights, ph.Weight)
	}
	bar := c.newBar("ticks")
	ticks, err := backtest.Series(ctx, rec.Collect, w, interval, weights, bar.show)
	bar.end()
	switch {
	case errors.Is(err, backtest.ErrNothing):
		return nil, err
	case err != nil:
		return nil, unreachable("%w", err)
	}
	// As a run does, which goes on without it too.
	if ticks[0].History, err = rec.History(ctx, ticks[0].At.Add(-interval), interval); err != nil {
		fmt.Fprintf(c.err, "serin: processor time and memory are judged without it: %v\n", err)
	}
	return ticks, nil
}

const (
	// Versions are looked for at every tick, in a range of more than so many at
	// every minute.
	mostSteps   = 50_000
	longestStep = time.Minute
	// longestRange is how much is looked through at once.
	longestRange = 366 * 24 * time.Hour
)

// backtestFound judges the releases that are found in a range.
func (c *command) backtestFound(ctx context.Context, f backtestFlags, plans []plannedFile, w backtest.Window, incident time.Time, result *backtested) error {
	interval := time.Duration(plans[0].plan.Analysis.Interval)
	step := interval
	if w.To.Sub(w.From)/step > mostSteps {
		step = longestStep
	}
	if span := w.To.Sub(w.From); span <= 0 || span > longestRange {
		return usage("--from, --to: the range from %s to %s cannot be looked through; write one of up to a year", w.From.Format(time.RFC3339), w.To.Format(time.RFC3339))
	}
	rec, err := c.Recorded(*plans[0].rollout, RecordedOptions{URL: f.url})
	if err != nil {
		return usage("%s: %w", plans[0].file, err)
	}
	defer func() { _ = rec.Close() }()
	versions, label, err := rec.Versions(ctx, f.releases, w, step)
	if err != nil {
		return unreachable("--releases: %w", err)
	}
	found, unseen := backtest.Find(versions, w, step)
	result.Unseen = append(result.Unseen, unseen...)
	if len(found) == 0 {
		var names []string
		for _, v := range versions {
			names = append(names, v.Name)
		}
		why := "no version is recorded"
		if len(names) > 0 {
			why = "recorded is " + strings.Join(names, ", ")
		}
		for _, u := range unseen {
			why += "; " + notSeen(u)
		}
		return usage("--releases: between %s and %s no version appeared beside another: %s", w.From.Format(time.RFC3339), w.To.Format(time.RFC3339), why)
	}
	for i, r := range found {
		release := pastRelease{Name: r.Stable + " → " + r.Canary, Found: &r, From: r.From, To: r.To, Holes: []backtest.Hole{}, Plans: []pastVerdict{}}
		during := incident
		if incident.Before(r.From) || i+1 < len(found) && !incident.Before(found[i+1].From) {
			during = time.Time{} // it was another release's
		}
		first := true
		for _, p := range plans {
			o := RecordedOptions{URL: f.url, Versions: pair(r.Stable, r.Canary)}
			if label == "replicaset" {
				o.ReplicaSets = o.Versions
			}
			ticks, err := c.series(ctx, o, p, r.Window)
			if err == nil {
				ticks, err = backtest.Trim(ticks)
			}
			switch {
			case errors.Is(err, backtest.ErrNothing):
				release.Problem = fmt.Sprintf("%s: %s, by the queries of the file", p.file, err)
				continue
			case err != nil:
				return err
			}
			release.judge(p, ticks, during, first)
			first = false
		}
		result.Releases = append(result.Releases, release)
	}
	return nil
}

func pair(stable, canary string) map[rollout.Arm]string {
	m := map[rollout.Arm]string{}
	if stable != "" {
		m[rollout.Stable] = stable
	}
	if canary != "" {
		m[rollout.Canary] = canary
	}
	return m
}

func (r *pastRelease) judge(p plannedFile, ticks []rollout.Tick, incident time.Time, first bool) {
	if first {
		r.From, r.To, r.Ticks = ticks[0].At.Add(-time.Duration(p.plan.Analysis.Interval)), ticks[len(ticks)-1].At, len(ticks)
		r.Holes = backtest.Holes(ticks)
		if r.Holes == nil {
			r.Holes = []backtest.Hole{}
		}
	}
	v := backtest.Judge(p.plan, ticks)
	r.Plans = append(r.Plans, pastVerdict{File: p.file, Answer: answer(p, v, incident), Verdict: v})
}

// answer says in a sentence what a plan would have done, and when.
func answer(p plannedFile, v backtest.Verdict, incident time.Time) string {
	clock := v.At.Format(time.TimeOnly)
	since := rollout.Words(time.Duration(v.After * float64(time.Second)).Round(time.Second))
	var text string
	switch {
	case v.Decision == engine.Rollback:
		text = fmt.Sprintf("would have rolled back at %s, %s after the release began, in phase %d of %d", clock, since, v.Phase, len(p.plan.Phases))
	case v.Decision == engine.Complete:
		text = fmt.Sprintf("would have promoted at %s, %s after the release began", clock, since)
	case v.Waiting:
		text = fmt.Sprintf("would have waited for a person since %s, %s after the release began, in phase %d of %d", clock, since, v.Phase, len(p.plan.Phases))
	default:
		text = fmt.Sprintf("would not have decided by the end of the range: it is in phase %d of %d, at %d %%", v.Phase, len(p.plan.Phases), v.Weight)
	}
	if len(v.Timeline) > 0 && (v.Decision == engine.Rollback || v.Waiting) {
		text += ": " + v.Timeline[len(v.Timeline)-1].Message
	}
	if !incident.IsZero() {
		text += "; " + against(v, incident)
	}
	if v.Differs > 0 {
		text += fmt.Sprintf(" (for %d ticks the recorded weight was not this plan's)", v.Differs)
	}
	return text
}

// against says how a decision stands to an incident.
func against(v backtest.Verdict, incident time.Time) string {
	if v.Decision != engine.Rollback && !v.Waiting {
		return "it would not have caught the incident of " + incident.Format(time.TimeOnly)
	}
	d := v.At.Sub(incident).Round(time.Second)
	if d < 0 {
		return rollout.Words(-d) + " before the incident"
	}
	return rollout.Words(d) + " after the incident began"
}

func (b backtested) text(w io.Writer) error {
	for i, r := range b.Releases {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %d ticks from %s to %s\n", r.Name, r.Ticks, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
		if r.Found != nil {
			fmt.Fprintln(w, ended(*r.Found))
		}
		if r.Problem != "" {
			fmt.Fprintln(w, "not judged: "+r.Problem)
		}
		for _, h := range r.Holes {
			fmt.Fprintf(w, "no figures of %s from %s to %s\n", armsInWords(h.Arm), h.From.Format(time.TimeOnly), h.To.Format(time.TimeOnly))
		}
		for _, p := range r.Plans {
			fmt.Fprintf(w, "%s %s\n", p.File, p.Answer)
		}
		fmt.Fprintln(w)
		if err := r.table(w); err != nil {
			return err
		}
	}
	if len(b.Unseen) > 0 {
		fmt.Fprintln(w, "\nNot seen, and no pass:")
	}
	for _, u := range b.Unseen {
		fmt.Fprintln(w, notSeen(u))
	}
	return nil
}

// ended says how a release that was found ended.
func ended(f backtest.Found) string {
	switch f.Ended {
	case backtest.Promoted:
		return fmt.Sprintf("%s had gone by %s", f.Stable, f.To.Format(time.TimeOnly))
	case backtest.CanaryGone:
		return fmt.Sprintf("%s had gone by %s: it was taken back, or ended by itself", f.Canary, f.To.Format(time.TimeOnly))
	case backtest.Superseded:
		return fmt.Sprintf("another version came at %s", f.To.Format(time.TimeOnly))
	}
	return "both were still there at the end of the range, or of what was recorded"
}

// notSeen says in a line what nobody can judge.
func notSeen(u backtest.Unseen) string {
	return fmt.Sprintf("%s to %s: %s", u.From.Format(time.RFC3339), u.To.Format(time.RFC3339), u.Message)
}

func armsInWords(arm string) string {
	switch arm {
	case "both":
		return "either version"
	case "canary":
		return "the canary"
	}
	return arm
}

// table shows the plans' decisions side by side.
func (r pastRelease) table(w io.Writer) error {
	if len(r.Plans) == 0 {
		return nil
	}
	var times []time.Time
	for _, p := range r.Plans {
		for _, s := range p.Timeline {
			times = append(times, s.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	times = slices.CompactFunc(times, time.Time.Equal)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprint(t, "TIME\tRECORDED")
	for _, p := range r.Plans {
		fmt.Fprintf(t, "\t%s", p.File)
	}
	fmt.Fprintln(t)
	for _, at := range times {
		recorded, cells := "", []string{}
		for _, p := range r.Plans {
			cell := ""
			for _, s := range p.Timeline {
				if s.At.Equal(at) {
					recorded = fmt.Sprintf("%d %%", s.Recorded)
					cell = step(s, len(r.Plans) == 1)
				}
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(t, "%s\t%s", at.Format(time.TimeOnly), recorded)
		for _, cell := range cells {
			fmt.Fprintf(t, "\t%s", cell)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// step says a decision in a cell, alone with its reason.
func step(s backtest.Step, why bool) string {
	text := map[engine.Kind]string{
		engine.Wait: fmt.Sprintf("watches phase %d at %d %%", s.Phase, s.Weight), engine.Proceed: fmt.Sprintf("goes on to phase %d at %d %%", s.Phase, s.Weight),
		engine.Hold: fmt.Sprintf("holds at %d %%", s.Weight), engine.Rollback: "rolls back", engine.Complete: "promotes",
	}[s.Decision]
	if why && s.Message != "" && s.Decision != engine.Wait {
		text += ": " + s.Message
	}
	return text
}
