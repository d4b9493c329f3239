package analysis

import (
	"time"

	"serin.dev/serin/internal/rollout"
)

// missedLimit is how many scrapes in a row may be missed before the weight is
// held.
const missedLimit = 3

// dataState remembers what has been missing.
type dataState struct {
	// Missed counts the latest ticks in a row that lacked an arm.
	Missed int `json:"missed,omitempty"`
	// Absent is how long the canary's figures have been absent while stable's
	// went on.
	Absent time.Duration `json:"absent,omitempty"`
	// Requests is how many the canary got in this phase.
	Requests float64 `json:"requests,omitempty"`
}

// reported says whether an arm's sample holds figures of its traffic. An arm
// without instances or without any figure of its traffic did not report.
func reported(s *rollout.Sample) bool {
	if s == nil || s.Instances != nil && *s.Instances == 0 {
		return false
	}
	return s.Requests != nil || s.Errors != nil || s.Latency != nil
}

// add takes in which arms reported. Without control stable need not.
func (d *dataState) add(t rollout.Tick, dt, interval time.Duration, control bool) {
	canary, stable := reported(t.Arms.Canary), reported(t.Arms.Stable)
	switch {
	case canary:
		d.Absent = 0
	case stable:
		// A gap between ticks is nobody's absence: at most a tick and a half of
		// it counts.
		d.Absent += min(dt, interval*3/2)
	}
	if canary && (stable || !control) {
		d.Missed = 0
	} else {
		d.Missed++
	}
	if canary && t.Arms.Canary.Requests != nil {
		d.Requests += *t.Arms.Canary.Requests
	}
}

// verdict orders what is wrong by how much it matters. checks is the longest
// that one check has lacked figures that it had before.
func (d *dataState) verdict(gone time.Duration, checks int) Data {
	missed := max(d.Missed, checks)
	switch {
	case d.Absent >= gone:
		return DataCanaryGone
	case missed >= missedLimit:
		return DataMissing
	case missed > 0:
		return DataLate
	case d.Requests == 0:
		return DataNoTraffic
	}
	return DataFresh
}
