package rollout

import "time"

// Tick is what both arms did during one evaluation interval. Its samples are
// disjoint from every other tick's: counts are increments, never cumulative.
// It is one input line of the judge stream.
type Tick struct {
	// At is the end of the interval.
	At time.Time `json:"tick"`
	// Weight is the share in effect during the tick, in percent; it may lag
	// behind what was wanted.
	Weight int  `json:"weight"`
	Arms   Arms `json:"arms"`
	// Unsplit are the arms whose figures may hold requests that reached them
	// whatever the weight was: testers', or copies of others'.
	Unsplit []Arm `json:"unsplit,omitempty"`
	// History is of the time before the run; the first tick that has one counts.
	History *History `json:"history,omitempty"`
}

// Arms holds a sample an arm; nil means that the arm's scrape failed and what
// it counted is lost.
type Arms struct {
	Stable *Sample `json:"stable"`
	Canary *Sample `json:"canary"`
	// Baseline is of fresh instances of stable's version, as old as the canary's.
	// They are not among Stable's. Nil where there are none as well.
	Baseline *Sample `json:"baseline,omitempty"`
}

// Sample is what one arm did in a tick. A nil field was not measured.
type Sample struct {
	Instances *int `json:"instances,omitempty"`
	// Requests is the number of requests routed to the arm.
	Requests *float64 `json:"requests,omitempty"`
	Errors   *float64 `json:"errors,omitempty"`
	// Latency is the distribution of response times.
	Latency *Histogram `json:"latency,omitempty"`
	// CPU is in cores, Memory in bytes, by instance.
	CPU    map[string]float64 `json:"cpu,omitzero"`
	Memory map[string]float64 `json:"memory,omitzero"`
	// MemoryLimit is the use in bytes at which an instance is ended, by instance;
	// one without a limit has none.
	MemoryLimit map[string]float64 `json:"memoryLimit,omitzero"`

	Exceptions []Exception                `json:"exceptions,omitzero"`
	Business   map[string]BusinessSample  `json:"business,omitzero"`
	Complaints *float64                   `json:"complaints,omitempty"`
	ByInstance map[string]*InstanceSample `json:"byInstance,omitzero"`
}

// InstanceSample is one instance's share of its arm's figures. Its histogram
// may hold just a count and a sum.
type InstanceSample struct {
	Requests *float64   `json:"requests,omitempty"`
	Errors   *float64   `json:"errors,omitempty"`
	Latency  *Histogram `json:"latency,omitempty"`
}

// Histogram is a distribution in seconds. Bounds are upper bounds, ascending;
// Counts has one entry more than Bounds, the last for everything above.
type Histogram struct {
	Bounds []float64 `json:"bounds,omitempty"`
	Counts []float64 `json:"counts,omitempty"`
	// Count is the number of observations, for a histogram without Counts.
	Count *float64 `json:"count,omitempty"`
	// Sum is the sum of the observations in seconds.
	Sum *float64 `json:"sum,omitempty"`
}

// Exception is how often one class of exception was seen at one instance. A
// count of 0 says that the class is known there from before the run.
type Exception struct {
	Class    string  `json:"class"`
	Instance string  `json:"instance,omitempty"`
	Count    float64 `json:"count"`
	Critical bool    `json:"critical,omitempty"`
	// Stack is where the first of the class was thrown, for people: frames, a
	// line each, and nothing of the message.
	Stack string `json:"stack,omitempty"`
}

// BusinessSample is one business metric in a tick: a conversion (Trials and
// Successes), values (Count, Sum, SumSquares), or scores from 0 to Max (Count,
// Sum, Max).
type BusinessSample struct {
	Trials     *float64 `json:"trials,omitempty"`
	Successes  *float64 `json:"successes,omitempty"`
	Count      *float64 `json:"count,omitempty"`
	Sum        *float64 `json:"sum,omitempty"`
	SumSquares *float64 `json:"sumSquares,omitempty"`
	// Max is the largest score there can be.
	Max *float64 `json:"max,omitempty"`
}
