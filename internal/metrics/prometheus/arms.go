package prometheus

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
)

// arms are what is read, the baseline where there is one now.
var arms = []rollout.Arm{rollout.Stable, rollout.Canary, rollout.Baseline}

// Env is what queries may speak of, and what the file does not say.
type Env struct {
	Rollout, Namespace, Workload string
	// Services are the names of the arms' Services; nil where there are none.
	Services map[rollout.Arm]string
	// Groups says which instances the arms have now. It is asked in every tick. The
	// baseline is among them where there is one.
	Groups func(context.Context) (map[rollout.Arm]Group, error)
	// Cluster reads processor time and memory of the pods unless the file says
	// otherwise.
	Cluster bool
	// Interval is the length of a tick, for Diagnose.
	Interval time.Duration
	// Recorded reads what was recorded earlier: everything is asked as of the
	// end of each tick, as it would have been answered then.
	Recorded bool
	// Crowd is shared by the sources of a program; nil where there are few.
	Crowd  *Crowd
	Logger *slog.Logger
}

// Group is what is known of one arm while a run goes on.
type Group struct {
	Version string
	// PodPrefixes begin the names of the arm's pods, up to the last dash: the
	// names of its ReplicaSets.
	PodPrefixes []string
	// Instances is how many there are; 0 when nobody knows.
	Instances int
}

// offers says whether this home can ever know a variable.
func (s *Source) offers(name string) bool {
	switch name {
	case "rollout":
		return s.env.Rollout != ""
	case "namespace":
		return s.env.Namespace != ""
	case "workload":
		return s.env.Workload != ""
	case "service":
		return s.env.Services[rollout.Stable] != "" && s.env.Services[rollout.Canary] != ""
	case "version":
		return s.env.Groups != nil
	case pods:
		return s.env.Groups != nil && s.env.Namespace != ""
	}
	return true
}

// values are the variables of one arm; those that are not known now are left
// out.
func (s *Source) values(arm rollout.Arm, g Group) map[string]string {
	values := map[string]string{"arm": string(arm)}
	for name, value := range map[string]string{
		"rollout": s.env.Rollout, "namespace": s.env.Namespace, "workload": s.env.Workload,
		"service": s.env.Services[arm], "version": g.Version, pods: podPattern(g.PodPrefixes),
	} {
		if value != "" {
			values[name] = value
		}
	}
	return values
}

// apart are the variables that tell the baseline's series from stable's: the
// version is the same.
var apart = []string{"arm", "service", pods}

// tellsBaseline says whether a query asked for the baseline has only its own
// series.
func (q query) tellsBaseline() bool {
	return slices.ContainsFunc(q.selector.needs(), func(name string) bool { return slices.Contains(apart, name) })
}

// BaselineProblems says which of the figures that a baseline is for would be
// stable's as well.
func (c Config) BaselineProblems() []rollout.Problem {
	var found []rollout.Problem
	p, _ := newPlan(c, false)
	for _, q := range p.all() {
		switch q.signal {
		case requests, errored, latency, cpu, memory:
			if !q.tellsBaseline() {
				found = append(found, rollout.Problem{
					Field: q.field, Message: "does not tell a baseline from stable, whose version it has",
					Mend: "match a label by $(service), $(pods) or $(arm), such as pod=~\"$(pods)\", or remove spec.plan.baseline",
				})
			}
		}
	}
	return found
}

// render writes a query for an arm; false when that is not known yet.
func (s *Source) render(q query, arm rollout.Arm, g Group) (string, bool) {
	if arm == rollout.Baseline && (g.Instances == 0 || !q.tellsBaseline()) {
		return "", false
	}
	values := s.values(arm, g)
	for _, name := range q.selector.needs() {
		if _, known := values[name]; !known {
			return "", false
		}
	}
	if q.isHistogram() {
		return q.selector.renderNames(values, "", "_bucket", "_sum", "_count"), true
	}
	return q.selector.render(values), true
}

// podPattern matches the names of the pods of some ReplicaSets.
func podPattern(prefixes []string) string {
	if len(prefixes) == 0 {
		return ""
	}
	quoted := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		quoted[i] = regexp.QuoteMeta(prefix)
	}
	slices.Sort(quoted)
	return "(?:" + strings.Join(quoted, "|") + ")-[^-]+"
}
