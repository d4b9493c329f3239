// Package prometheus measures both arms by counters that a Prometheus has
// scraped. It reads raw samples and computes every increment itself, so that
// ticks never overlap; it must not know what is concluded from them, nor where
// the workload and the routes are described.
package prometheus

import (
	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// Config says which Prometheus is asked, and for what.
type Config struct {
	// URL is the address of Prometheus, or of anything that answers its HTTP
	// API.
	URL credential.Value `json:"url" jsonschema:"required,example=http://prometheus.monitoring:9090"`
	// Preset names the program whose counters of requests are read; queries
	// replace single ones of it.
	Preset Preset `json:"preset,omitempty"`
	// Containers reads the processor time and memory of the arms' pods from
	// cAdvisor; on a cluster that is the default.
	Containers *bool `json:"containers,omitempty"`
	// Queries are series of your own.
	Queries Queries `json:"queries,omitzero"`
	// InstanceLabel is the label by which your own series tell instances of an
	// arm apart; without it they are not told apart.
	InstanceLabel string `json:"instanceLabel,omitempty" jsonschema:"example=pod"`
	// Timeout bounds each question.
	Timeout rollout.Duration `json:"timeout,omitempty" jsonschema:"example=5s"`
	// Token is sent as a bearer token. It is read for every tick, so a renewed
	// one is used.
	Token credential.Ref `json:"token,omitzero"`
	// Headers are sent along; a secret is given by reference.
	Headers map[string]credential.Value `json:"headers,omitempty"`
}

// Queries are series selectors: a metric's name and matchers of its labels,
// nothing around them. Serin reads the raw samples. Between the quotes of a
// matcher, $(arm), $(version), $(rollout), $(namespace), $(workload),
// $(service) and $(pods) stand for the arm that is read.
type Queries struct {
	// Requests counts the requests of an arm.
	Requests string `json:"requests,omitempty"`
	// Errors counts those of them that failed.
	Errors string `json:"errors,omitempty"`
	// Latency is a histogram of response times.
	Latency Latency `json:"latency,omitzero"`
	// CPU counts seconds of processor time.
	CPU string `json:"cpu,omitempty"`
	// Memory is a gauge of bytes.
	Memory string `json:"memory,omitempty"`
	// Exceptions counts exceptions by class.
	Exceptions Exceptions `json:"exceptions,omitzero"`
	// Business counts what the business checks compare, by their names.
	Business map[string]Business `json:"business,omitempty"`
	// Complaints counts complaints.
	Complaints string `json:"complaints,omitempty"`
}

// Latency is a histogram of response times, classic or native.
type Latency struct {
	// Histogram selects it by its own name, without _bucket, _sum or _count.
	Histogram string `json:"histogram,omitempty"`
	// Unit is what it measures in; seconds unless given.
	Unit Unit `json:"unit,omitempty"`
}

// Exceptions is a counter of exceptions.
type Exceptions struct {
	// Counter selects it.
	Counter string `json:"counter,omitempty"`
	// Class is the label that holds the class of an exception; class unless
	// given.
	Class string `json:"class,omitempty"`
	// Critical is the label that is true for a critical exception.
	Critical string `json:"critical,omitempty"`
}

// Business is a conversion, trials and successes; or values, count, sum and
// sumSquares.
type Business struct {
	// Trials counts who could have.
	Trials string `json:"trials,omitempty"`
	// Successes counts who did.
	Successes string `json:"successes,omitempty"`
	// Count counts values.
	Count string `json:"count,omitempty"`
	// Sum adds them up.
	Sum string `json:"sum,omitempty"`
	// SumSquares adds up their squares.
	SumSquares string `json:"sumSquares,omitempty"`
}

// Unit is a unit of time.
type Unit string

// The units in which response times are measured.
const (
	Seconds      Unit = "seconds"
	Milliseconds Unit = "milliseconds"
)

// Choices implements rollout.Chooser.
func (Unit) Choices() []string { return []string{string(Seconds), string(Milliseconds)} }

// seconds is how many seconds one of the unit is.
func (u Unit) seconds() float64 {
	if u == Milliseconds {
		return 0.001
	}
	return 1
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{Timeout: rollout.Duration(defaultTimeout)} }

// Measures implements rollout.Measurer.
func (c Config) Measures(t rollout.CheckType, name string) bool {
	_, has := c.Queries.Business[name]
	return t == rollout.Business && has || t == rollout.Complaints && c.Queries.Complaints != ""
}
