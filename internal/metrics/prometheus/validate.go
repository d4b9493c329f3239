package prometheus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/rollout"
)

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem {
	found := guarded.Target{URL: c.URL, Headers: c.Headers}.Problems()
	problem := func(field, message, mend string) {
		found = append(found, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	if !c.Preset.known() {
		problem("preset", "is not known", "write one of "+strings.Join(c.Preset.Choices(), ", "))
	}
	if c.Timeout < 0 {
		problem("timeout", "is negative", "write one such as 5s")
	}
	if !c.Token.IsZero() {
		found = append(found, c.Token.Problems("token")...)
		for name := range c.Headers {
			if strings.EqualFold(name, "Authorization") {
				problem("token", "stands beside headers."+name, "keep one of them")
			}
		}
	}
	for _, l := range []struct{ field, label string }{
		{"instanceLabel", c.InstanceLabel},
		{"queries.exceptions.class", c.Queries.Exceptions.Class},
		{"queries.exceptions.critical", c.Queries.Exceptions.Critical},
	} {
		if l.label != "" && labelName.FindString(l.label) != l.label {
			problem(l.field, "is not the name of a label", "write one such as pod")
		}
	}
	if u := c.Queries.Latency.Unit; u != "" && u != Seconds && u != Milliseconds {
		problem("queries.latency.unit", "is not known", "write seconds or milliseconds")
	}
	found = append(found, c.Queries.problems()...)
	p, wrong := newPlan(c, false)
	found = append(found, wrong...)
	if len(p.counts) == 0 && len(wrong) == 0 {
		problem("preset", "is missing, and queries counts nothing", "write preset: istio, traefik, envoyGateway or otel, or queries: {requests: …, errors: …}")
	}
	return found
}

func (q Queries) problems() []rollout.Problem {
	var found []rollout.Problem
	problem := func(field, message, mend string) {
		found = append(found, rollout.Problem{Field: "queries." + field, Message: message, Mend: mend})
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if s, err := parseSelector(q.Latency.Histogram); err == nil && strings.HasSuffix(s.name, suffix) {
			problem("latency.histogram", "is one series of a histogram", "write its own name, without "+suffix)
		}
	}
	if q.Latency.Histogram == "" && q.Latency.Unit != "" {
		problem("latency.histogram", "is missing", "write the histogram that is measured in "+string(q.Latency.Unit))
	}
	if q.Exceptions.Counter == "" && (q.Exceptions.Class != "" || q.Exceptions.Critical != "") {
		problem("exceptions.counter", "is missing", "write the counter that has these labels")
	}
	for _, name := range slices.Sorted(maps.Keys(q.Business)) {
		b := q.Business[name]
		conversion, values := b.Trials != "" || b.Successes != "", b.Count != "" || b.Sum != "" || b.SumSquares != ""
		field := fmt.Sprintf("business.%s", name)
		switch {
		case conversion == values:
			problem(field, "is neither a conversion nor values", "write trials and successes, or count, sum and sumSquares")
		case conversion && (b.Trials == "" || b.Successes == ""):
			problem(field, "lacks one of trials and successes", "write both")
		case values && (b.Count == "" || b.Sum == "" || b.SumSquares == ""):
			problem(field, "lacks one of count, sum and sumSquares", "write all three")
		}
	}
	return found
}

// validHeaderValue says whether a token can be sent.
func validHeaderValue(s string) bool { return httpguts.ValidHeaderFieldValue(s) }
