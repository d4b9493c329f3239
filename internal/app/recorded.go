package app

import (
	"context"
	"time"

	"serin.dev/serin/internal/backtest"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/simulate"
)

// Unmakeable says which weights of a rollout cannot be made by so many instances
// of stable; 0: nobody knows how many there are.
func Unmakeable(r rollout.Rollout, stable int) []rollout.Problem {
	return builtin.Unmakeable(r, stable)
}

// Claims returns what notes which addresses a rollout in a file listens on, and
// says which of them a rollout that it was told of before has.
func Claims() func(file string, r rollout.Rollout) []rollout.Problem {
	return new(builtin.Addresses).Claim
}

// ScenarioSchema is the JSON Schema of a file of scenarios.
func ScenarioSchema() ([]byte, error) {
	return builtin.FileSchema(simulate.File{}, "https://serin.dev/schema/scenarios.json", "Serin scenarios",
		"Families of releases that serin simulate plays: what the service is like, and what is wrong with the new version.")
}

// Instances is how many instances of stable a rollout's file names; 0 when it
// does not say.
func Instances(r rollout.Rollout) int { return builtin.Instances(r) }

// Recording reads what a Prometheus has recorded of a rollout.
type Recording struct{ source *builtin.Recording }

// Recorded opens the Prometheus that has recorded what a rollout is judged by;
// url is its address where it is not the file's. It asks nothing yet.
func Recorded(r rollout.Rollout, url string, versions, replicaSets map[rollout.Arm]string) (*Recording, error) {
	s, err := builtin.Recorded(r, builtin.RecordedEnv{URL: url, Versions: versions, ReplicaSets: replicaSets})
	if err != nil {
		return nil, err
	}
	return &Recording{s}, nil
}

// Collect returns what both arms did from since, or the end of the call before,
// to now.
func (r *Recording) Collect(ctx context.Context, since, now time.Time) (rollout.Arms, error) {
	return r.source.Collect(ctx, since, now)
}

// History is what stable's instances used in the hour up to now, a figure a tick.
func (r *Recording) History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error) {
	return r.source.History(ctx, now, tick)
}

// Usual is what the service is usually like, over how long; what was not
// recorded is the default.
func (r *Recording) Usual(ctx context.Context) (simulate.Traffic, time.Duration, error) {
	u, err := r.source.Usual(ctx)
	if err != nil {
		return simulate.Traffic{}, 0, err
	}
	t := simulate.DefaultTraffic()
	t.RequestsPerSecond, t.ErrorRate = u.RequestsPerSecond, rollout.Percent(u.ErrorRate)
	if u.Median > 0 && u.Slowest > u.Median {
		t.ResponseTime, t.Slowest = rollout.Duration(u.Median), rollout.Duration(u.Slowest)
	}
	t.Instances = max(1, u.Instances)
	return t, u.Over, nil
}

// Versions evaluates an expression that has a series for each version at every
// step of a past time; label is what the versions are told apart by.
func (r *Recording) Versions(ctx context.Context, expression string, w backtest.Window, step time.Duration) (versions []backtest.Version, label string, err error) {
	labels, err := r.source.Labels(ctx, expression, w.From, w.To, step)
	for _, l := range labels {
		v := backtest.Version{Name: l.Value}
		for i, at := range l.Times {
			v.Seen = append(v.Seen, backtest.Sighting{At: at, Amount: l.Values[i]})
		}
		versions, label = append(versions, v), l.Name
	}
	return versions, label, err
}

// Close releases what this holds.
func (r *Recording) Close() error { return r.source.Close() }
