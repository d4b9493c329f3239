package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/simulate"
)

// traffic is what the flags say of the expected traffic.
type traffic struct {
	requests        float64
	errors          percentage
	median, slowest time.Duration
	instances       int
	measured        bool
	// given says whether a flag was written.
	given func(flag string) bool
}

// percentage is a flag such as 1%.
type percentage struct{ rollout.Percent }

func (p *percentage) Set(s string) error {
	if !strings.HasSuffix(strings.TrimSpace(s), "%") {
		return fmt.Errorf("write it with its sign, such as 1%%")
	}
	return p.UnmarshalJSON([]byte(fmt.Sprintf("%q", s)))
}

func (p *percentage) Type() string { return "percent" }

const (
	flagRequests  = "requests-per-second"
	flagErrors    = "error-rate"
	flagMedian    = "response-time"
	flagSlowest   = "slowest"
	flagInstances = "instances"
)

// flags adds the flags of expected traffic to a command.
func (t *traffic) flags(cmd *cobra.Command) {
	d := simulate.DefaultTraffic()
	t.errors = percentage{d.ErrorRate}
	cmd.Flags().Float64Var(&t.requests, flagRequests, d.RequestsPerSecond, "expected requests a second, both versions together")
	cmd.Flags().Var(&t.errors, flagErrors, "expected part of requests that fail")
	cmd.Flags().DurationVar(&t.median, flagMedian, time.Duration(d.ResponseTime), "expected median response time")
	cmd.Flags().DurationVar(&t.slowest, flagSlowest, 0, "what one request in a hundred takes longer than (default ten times the median)")
	cmd.Flags().IntVar(&t.instances, flagInstances, 0, "instances of stable; with more than one they are told apart (default those that FILE names, else 1)")
	cmd.Flags().BoolVar(&t.measured, "measured", false, "read the expected traffic from the Prometheus that FILE names: stable's last day")
	t.given = func(flag string) bool { return cmd.Flags().Changed(flag) }
}

// any says whether any of the traffic was said.
func (t *traffic) any() bool {
	for _, f := range []string{flagRequests, flagErrors, flagMedian, flagSlowest, flagInstances} {
		if t.given(f) {
			return true
		}
	}
	return t.measured
}

// expected is the traffic that a command is asked to expect of a file's rollout,
// and where its figures come from.
func (c *command) expected(ctx context.Context, file string, r rollout.Rollout, t traffic) (simulate.Traffic, string, error) {
	base, from := simulate.DefaultTraffic(), "assumed; --requests-per-second and others say what yours is like"
	inFile := 0
	if c.Instances != nil {
		inFile = c.Instances(r)
	}
	if inFile > 0 {
		base.Instances = inFile
	}
	if t.measured {
		var err error
		if base, from, err = c.measuredTraffic(ctx, file); err != nil {
			return base, "", err
		}
	}
	if t.given(flagRequests) {
		base.RequestsPerSecond = t.requests
	}
	if t.given(flagErrors) {
		base.ErrorRate = t.errors.Percent
	}
	if t.given(flagMedian) {
		base.Slowest = rollout.Duration(float64(base.Slowest) / float64(base.ResponseTime) * float64(t.median))
		base.ResponseTime = rollout.Duration(t.median)
	}
	if t.given(flagSlowest) {
		base.Slowest = rollout.Duration(t.slowest)
	}
	if t.given(flagInstances) {
		base.Instances = t.instances
	}
	if t.any() && !t.measured {
		from = "as given, the rest assumed"
	}
	if inFile > 0 && !t.measured && !t.given(flagInstances) {
		from += "; instances as in " + file
	}
	names := map[string]string{"requestsPerSecond": flagRequests, "errorRate": flagErrors, "responseTime": flagMedian, "slowest": flagSlowest, "instances": flagInstances}
	for _, p := range base.Problems() {
		return base, "", usage("--%s: %s; %s", names[p.Field], p.Message, p.Mend)
	}
	return base, from, nil
}

// describeTraffic says a traffic in a line.
func describeTraffic(t simulate.Traffic) string {
	text := fmt.Sprintf("%s requests/s, %.3g %% errors, response time %s (1 of 100 above %s)", short(t.RequestsPerSecond), 100*float64(t.ErrorRate),
		threeFigures(t.ResponseTime), threeFigures(t.Slowest))
	if t.Instances == 1 {
		return text + ", 1 instance"
	}
	return text + fmt.Sprintf(", %d instances", t.Instances)
}

// threeFigures rounds a duration for people.
func threeFigures(d rollout.Duration) string {
	unit := time.Nanosecond
	for time.Duration(d)/unit >= 1000 {
		unit *= 10
	}
	return time.Duration(d).Round(unit).String()
}

func short(v float64) string {
	if v >= 10000 {
		return grouped3(fmt.Sprintf("%.0f", v))
	}
	return fmt.Sprintf("%.4g", v)
}

// measuredTraffic reads stable's last day from the Prometheus that a file names.
func (c *command) measuredTraffic(ctx context.Context, file string) (simulate.Traffic, string, error) {
	r, err := c.readRollout(file)
	if err != nil {
		return simulate.Traffic{}, "", err
	}
	rec, err := c.Recorded(*r, RecordedOptions{})
	if err != nil {
		return simulate.Traffic{}, "", usage("--measured: %s: %w", file, err)
	}
	defer func() { _ = rec.Close() }()
	t, over, err := rec.Usual(ctx)
	if err != nil {
		return t, "", unreachable("--measured: %w", err)
	}
	return t, "stable's last " + rollout.Words(over.Round(time.Minute)) + ", from Prometheus", nil
}
