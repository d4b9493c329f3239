package rollout

import "time"

// Message is one thing people are told about a run.
type Message struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Event   Event     `json:"event"`
	Rollout string    `json:"rollout"`
	Run     string    `json:"run"`
	// StableVersion and CanaryVersion are the two versions of the run.
	StableVersion string `json:"stableVersion"`
	CanaryVersion string `json:"canaryVersion"`
	Phase         int    `json:"phase"`
	Phases        int    `json:"phases"`
	Weight        int    `json:"weight"`
	// Text is the message in one line: what happened and why.
	Text string `json:"text"`
	// Do says what the reader can do now, often a command; may be empty.
	Do string `json:"do,omitempty"`
	// Link leads to the report or the run; may be empty.
	Link string `json:"link,omitempty"`
}
