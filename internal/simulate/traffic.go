package simulate

import (
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Traffic is what a service is usually like.
type Traffic struct {
	// RequestsPerSecond is the rate of all requests, both versions together.
	RequestsPerSecond float64 `json:"requestsPerSecond" jsonschema:"exclusiveMinimum=0,example=100"`
	// ErrorRate is the part of them that fails.
	ErrorRate rollout.Percent `json:"errorRate" jsonschema:"example=1%"`
	// ResponseTime is the median response time, Slowest what one request in a
	// hundred takes longer than. In between they are lognormal.
	ResponseTime rollout.Duration `json:"responseTime" jsonschema:"example=100ms"`
	Slowest      rollout.Duration `json:"slowest" jsonschema:"example=1s"`
	// Instances is how many instances stable has, 1 when they are not told apart.
	Instances int `json:"instances" jsonschema:"minimum=1"`
}

// DefaultTraffic is assumed where nothing is said: a service of middling size.
func DefaultTraffic() Traffic {
	return Traffic{
		RequestsPerSecond: 100, ErrorRate: 0.01,
		ResponseTime: rollout.Duration(100 * time.Millisecond), Slowest: rollout.Duration(time.Second),
		Instances: 1,
	}
}

// The most that is simulated: more requests decide nothing sooner, and more
// instances than analysis looks at change nothing.
const (
	maxRequests  = 1e7
	maxInstances = 1000
)

// Problems says what cannot be simulated, each under the name of its field.
func (t Traffic) Problems() []rollout.Problem {
	var ps []rollout.Problem
	add := func(field, message, mend string) {
		ps = append(ps, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	if !(t.RequestsPerSecond > 0 && t.RequestsPerSecond <= maxRequests) {
		add("requestsPerSecond", "is not above 0 and at most 10,000,000", "write how many requests a second the service gets, such as 100")
	}
	if !(t.ErrorRate >= 0 && t.ErrorRate < 1) {
		add("errorRate", "is not from 0% to below 100%", "write the usual part of requests that fail, such as 1%")
	}
	if t.ResponseTime < rollout.Duration(10*time.Microsecond) || t.ResponseTime > rollout.Duration(time.Hour) {
		add("responseTime", "is not from 10µs to 1h", "write the median response time, such as 100ms")
	}
	if t.Slowest <= t.ResponseTime || t.Slowest > 1000*t.ResponseTime {
		add("slowest", "is not above responseTime and at most 1000 times as much", "write what one request in a hundred takes longer than, such as 1s")
	}
	if t.Instances < 1 || t.Instances > maxInstances {
		add("instances", "is not from 1 to 1000", "write how many instances stable has")
	}
	return ps
}

// z99 is the standard normal's 99th percentile.
const z99 = 2.3263478740408408

// sigma is the standard deviation of the logarithm of response times.
func (t Traffic) sigma() float64 {
	return math.Log(float64(t.Slowest)/float64(t.ResponseTime)) / z99
}
