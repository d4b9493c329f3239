package analysis_test

import (
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stretch is a number of equal ticks.
type stretch struct {
	ticks, weight, phase int
	stable, canary       *rollout.Sample
}

func num(v float64) *float64 { return &v }

// served is an arm that counted requests and errors.
func served(requests, errors float64) *rollout.Sample {
	return &rollout.Sample{Requests: num(requests), Errors: num(errors)}
}

// timed is an arm whose times are spread around a median, on a grid of two
// percent, the same in every tick.
func timed(requests, median float64) *rollout.Sample {
	return timedOn(gridOf(0.001, 1.02, 400), requests, median)
}

func timedOn(bounds []float64, requests, median float64) *rollout.Sample {
	counts := make([]float64, len(bounds)+1)
	// Quantiles of a distribution with a spread of about a factor two.
	sum := 0.0
	for i := range int(requests) {
		q := (float64(i) + 0.5) / requests
		v := median * (0.5 + q) / (1.5 - q)
		sum += v
		k := 0
		for k < len(bounds) && bounds[k] < v {
			k++
		}
		counts[k]++
	}
	return &rollout.Sample{
		Requests: &requests, Errors: num(0),
		Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum},
	}
}

// play shows a stream to the analysis and returns what it said last.
func play(t *testing.T, cfg analysis.Config, stream ...stretch) (analysis.State, analysis.Assessment) {
	t.Helper()
	state := analysis.Start(cfg)
	var said analysis.Assessment
	at := midnight
	for _, s := range stream {
		for range s.ticks {
			at = at.Add(time.Duration(cfg.Analysis.Interval))
			tick := rollout.Tick{At: at, Weight: s.weight, Arms: rollout.Arms{Stable: s.stable, Canary: s.canary}}
			if err := analysis.Validate(tick); err != nil {
				t.Fatal(err)
			}
			state, said = analysis.Step(cfg, state, tick, s.phase)
		}
	}
	return state, said
}

func TestStreamsAreAssessedAsAPersonWould(t *testing.T) {
	errorsOnly, latencyOnly := configOf(rollout.ErrorRate), configOf(rollout.ResponseTime)
	type expect struct {
		verdict     analysis.Verdict
		acceptable  bool
		nonInferior bool
		data        analysis.Data
		hold        string // part of the reason
		message     string // part of it
		unjudged    bool
		flag        string
	}
	for name, c := range map[string]struct {
		cfg    analysis.Config
		stream []stretch
		want   expect
	}{
		"no errors in either arm let a small share go on": {
			errorsOnly, []stretch{{180, 5, 0, served(950, 0), served(50, 0)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataFresh, message: "no errors in either arm", flag: "low-evidence"},
		},
		"no errors in either arm let a large share go on": {
			errorsOnly, []stretch{{180, 50, 0, served(500, 0), served(500, 0)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataFresh, message: "no errors in either arm"},
		},
		"three times the errors fail": {
			errorsOnly, []stretch{{60, 5, 0, served(950, 10), served(50, 2)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, message: "x stable"},
		},
		"errors where stable has none fail": {
			errorsOnly, []stretch{{20, 5, 0, served(950, 0), served(50, 2)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, message: "infinitely many times stable"},
		},
		"fewer errors than stable are shown to be no worse": {
			errorsOnly, []stretch{{60, 25, 0, served(750, 15), served(250, 1)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh, message: "shown not to be worse"},
		},
		"as many errors as stable are shown to be no worse": {
			errorsOnly, []stretch{{180, 25, 0, served(750, 9), served(250, 3)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh},
		},
		"half more errors than stable are not rolled back and not let on": {
			errorsOnly, []stretch{{180, 25, 0, served(750, 6), served(250, 3)}},
			expect{verdict: analysis.Inconclusive, data: analysis.DataFresh},
		},
		"a fault that begins late is found": {
			errorsOnly, []stretch{{180, 5, 0, served(950, 10), served(50, .5)}, {30, 10, 1, served(900, 9), served(100, 4)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh},
		},
		"a canary that gets no requests is held": {
			errorsOnly, []stretch{{20, 5, 0, served(950, 9), served(0, 0)}},
			expect{verdict: analysis.Inconclusive, data: analysis.DataNoTraffic, hold: "weight is 5 %", message: "no request has reached"},
		},
		"a canary whose requests vanish is held": {
			errorsOnly, []stretch{{100, 25, 0, served(750, 9), served(250, 3)}, {10, 25, 0, served(1000, 12), served(0, 0)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh, hold: "ejected"},
		},
		"no requests at all are nobody's fault and no pass": {
			errorsOnly, []stretch{{200, 5, 0, served(0, 0), served(0, 0)}},
			expect{verdict: analysis.Inconclusive, data: analysis.DataNoTraffic},
		},
		"a missed scrape is late": {
			errorsOnly, []stretch{{5, 5, 0, served(950, 9), served(50, 0)}, {1, 5, 0, nil, served(50, 0)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataLate},
		},
		"three missed scrapes are missing data": {
			errorsOnly, []stretch{{5, 5, 0, served(950, 9), served(50, 0)}, {3, 5, 0, nil, served(50, 0)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataMissing},
		},
		"both arms silent are missing, never a crash": {
			errorsOnly, []stretch{{5, 5, 0, served(950, 9), served(50, 0)}, {30, 5, 0, nil, nil}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataMissing},
		},
		"a canary absent for a minute has crashed": {
			errorsOnly, []stretch{{5, 5, 0, served(950, 9), served(50, 0)}, {6, 5, 0, served(950, 9), nil}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataCanaryGone},
		},
		"a canary absent for fifty seconds has not yet": {
			errorsOnly, []stretch{{5, 5, 0, served(950, 9), served(50, 0)}, {5, 5, 0, served(950, 9), nil}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataMissing},
		},
		"figures that were never measured are not judged": {
			errorsOnly, []stretch{{30, 5, 0, &rollout.Sample{Requests: num(950)}, &rollout.Sample{Requests: num(50)}}},
			expect{verdict: analysis.Inconclusive, unjudged: true, data: analysis.DataFresh, message: "not measured"},
		},
		"figures that stop being measured are missing": {
			errorsOnly, []stretch{
				{60, 25, 0, served(750, 9), served(250, 2)},
				{3, 25, 0, served(750, 9), &rollout.Sample{Requests: num(250)}},
			},
			expect{verdict: analysis.Inconclusive, data: analysis.DataMissing, message: "missing since 3 ticks"},
		},
		"at full weight a healthy canary may end the phase": {
			errorsOnly, []stretch{{100, 50, 0, served(500, 5), served(500, 5)}, {100, 100, 1, served(0, 0), served(1000, 10)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh, flag: "no-control", message: "stable's earlier"},
		},
		"at full weight stable may be silent altogether": {
			errorsOnly, []stretch{{100, 50, 0, served(500, 5), served(500, 5)}, {100, 100, 1, nil, served(1000, 10)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh, flag: "no-control"},
		},
		"at full weight a canary whose errors jump fails": {
			errorsOnly, []stretch{{100, 50, 0, served(500, 5), served(500, 5)}, {10, 100, 1, served(0, 0), served(1000, 40)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, flag: "no-control"},
		},
		"at full weight an incident such as stable has had before is not the canary's": {
			errorsOnly, []stretch{
				{150, 50, 0, served(500, 2), served(500, 2)}, {6, 50, 0, served(500, 80), served(500, 80)},
				{150, 50, 0, served(500, 2), served(500, 2)}, {6, 50, 0, served(500, 80), served(500, 80)},
				{150, 50, 0, served(500, 2), served(500, 2)},
				{60, 100, 1, nil, served(1000, 4)}, {6, 100, 1, nil, served(1000, 160)},
			},
			expect{verdict: analysis.Inconclusive, data: analysis.DataFresh, flag: "no-control"},
		},
		"full weight from the beginning has nothing to compare with": {
			errorsOnly, []stretch{{100, 100, 0, served(0, 0), served(1000, 10)}},
			expect{verdict: analysis.Inconclusive, unjudged: true, data: analysis.DataFresh, message: "nothing to compare with"},
		},
		"half slower fails": {
			latencyOnly, []stretch{{30, 5, 0, timed(950, .1), timed(50, .15)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, message: "stable"},
		},
		"as fast as stable is shown to be no worse": {
			latencyOnly, []stretch{{180, 25, 0, timed(750, .1), timed(250, .1)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, data: analysis.DataFresh},
		},
		"four times slower while cold fails at once": {
			latencyOnly, []stretch{{5, 5, 0, timed(950, .1), timed(50, .4)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, flag: "warming-up"},
		},
		"a phase shorter than the warm-up may end at a small share": {
			latencyOnly, []stretch{{5, 5, 0, timed(950, .1), timed(50, .11)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataFresh, flag: "low-evidence", message: "warming up"},
		},
		"half slower while cold is waited for": {
			latencyOnly, []stretch{{5, 25, 0, timed(750, .1), timed(250, .15)}},
			expect{verdict: analysis.Inconclusive, data: analysis.DataFresh, flag: "warming-up", message: "warming up"},
		},
		"classic buckets are judged by the mean": {
			latencyOnly, []stretch{{30, 5, 0, timedOn([]float64{.05, .1, .25, .5}, 950, .1), timedOn([]float64{.05, .1, .25, .5}, 50, .15)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, flag: "coarse-buckets", message: "mean response time 1.5"},
		},
		"at full weight a canary that gets half slower fails": {
			latencyOnly, []stretch{{100, 50, 0, timed(500, .1), timed(500, .1)}, {30, 100, 1, nil, timed(1000, .15)}},
			expect{verdict: analysis.Fail, data: analysis.DataFresh, flag: "no-control"},
		},
		"at full weight a canary that stays fast may end the phase": {
			latencyOnly, []stretch{{100, 50, 0, timed(500, .1), timed(500, .1)}, {180, 100, 1, nil, timed(1000, .1)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, data: analysis.DataFresh, flag: "no-control"},
		},
		"a check whose figures nobody gives says so": {
			configOf(rollout.Exceptions), []stretch{{5, 5, 0, served(950, 9), served(50, 0)}},
			expect{verdict: analysis.Inconclusive, unjudged: true, data: analysis.DataFresh, message: "not measured"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, said := play(t, c.cfg, c.stream...)
			r := said.Results[0]
			t.Logf("%s: %s (%v)", r.Verdict, r.Message, r.Flags)
			if r.Verdict != c.want.verdict || r.Acceptable != c.want.acceptable || r.NonInferior != c.want.nonInferior || r.Judged == c.want.unjudged {
				t.Errorf("got %s, acceptable %v, not inferior %v, judged %v: %+v", r.Verdict, r.Acceptable, r.NonInferior, r.Judged, r)
			}
			if said.Data != c.want.data {
				t.Errorf("data is %s, want %s", said.Data, c.want.data)
			}
			if c.want.hold == "" && said.Hold != "" || !strings.Contains(said.Hold, c.want.hold) {
				t.Errorf("hold is %q, want %q", said.Hold, c.want.hold)
			}
			if !strings.Contains(r.Message, c.want.message) {
				t.Errorf("message is %q, want %q in it", r.Message, c.want.message)
			}
			if c.want.flag != "" && !strings.Contains(strings.Join(r.Flags, " "), c.want.flag) {
				t.Errorf("flags are %v, want %s among them", r.Flags, c.want.flag)
			}
		})
	}
}
