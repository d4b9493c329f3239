// Package record is the append-only log of a run in its written form: JSON
// Lines, a header first, then every observation and decision, every effect,
// intent, gate and notification. Replay decides a record again.
//
// It is a pure room: it reads and writes what it is handed, and knows no file
// and no store.
package record

import (
	"encoding/json"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Version is the form of the record, the header's "record".
const Version = 1

// Header is the first line.
type Header struct {
	Record  int         `json:"record"`
	Rollout Subject     `json:"rollout"`
	Plan    engine.Plan `json:"plan"`
	Run     Run         `json:"run"`
}

// Subject is the rollout a record is about, without any adapter's
// configuration.
type Subject struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Workload  string `json:"workload"`
	Traffic   string `json:"traffic"`
}

// Run identifies the run.
type Run struct {
	ID            string    `json:"id"`
	StableVersion string    `json:"stableVersion"`
	CanaryVersion string    `json:"canaryVersion"`
	StartedAt     time.Time `json:"startedAt"`
	Actor         string    `json:"actor,omitempty"`
}

// Input is what Decide was told: the judge stream's line for a tick, without
// tick, weight and arms when none had closed, and everything else that was
// observed.
type Input struct {
	Tick     *time.Time          `json:"tick,omitempty"`
	Weight   *int                `json:"weight,omitempty"`
	Arms     *rollout.Arms       `json:"arms,omitempty"`
	Unsplit  []rollout.Arm       `json:"unsplit,omitempty"`
	History  *rollout.History    `json:"history,omitempty"`
	Observed *engine.Observation `json:"observed"`
}

// Decision is what Decide said.
type Decision struct {
	Tick     *time.Time `json:"tick,omitempty"`
	At       time.Time  `json:"at"`
	Position string     `json:"position"`
	// Phase counts from 1.
	Phase    int             `json:"phase"`
	Decision engine.Kind     `json:"decision"`
	Weight   int             `json:"weight"`
	Because  []engine.Reason `json:"because"`
	Want     engine.Want     `json:"want"`
	Answered []engine.Answer `json:"answered,omitempty"`
}

// Effect is something Serin did outside, or tried to.
type Effect struct {
	Effect string    `json:"effect"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Detail string    `json:"detail,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// Intent is a person's intent as it arrived.
type Intent struct {
	rollout.Intent
}

// Gate is one answer of a test or hook.
type Gate struct {
	Gate    string        `json:"gate"`
	Point   rollout.Point `json:"point,omitempty"`
	At      time.Time     `json:"at"`
	Actor   string        `json:"actor"`
	Passed  bool          `json:"passed"`
	Message string        `json:"message,omitempty"`
	Output  string        `json:"output,omitempty"`
}

// Notification is one message to people and what became of it.
type Notification struct {
	Notification rollout.Event `json:"notification"`
	At           time.Time     `json:"at"`
	Actor        string        `json:"actor"`
	To           string        `json:"to"`
	Text         string        `json:"text"`
	Delivered    bool          `json:"delivered"`
	Error        string        `json:"error,omitempty"`
}

// Serin is the actor of what nobody in particular did.
const Serin = "serin"

// InputOf returns the line for an observation.
func InputOf(o engine.Observation) Input {
	in := Input{Observed: &o}
	if o.Tick != nil {
		in.Tick, in.Weight, in.Arms, in.Unsplit, in.History = &o.Tick.At, &o.Tick.Weight, &o.Tick.Arms, o.Tick.Unsplit, o.Tick.History
	}
	return in
}

// Observation returns what Decide was told.
func (in Input) Observation() engine.Observation {
	var o engine.Observation
	if in.Observed != nil {
		o = *in.Observed
	}
	if in.Tick != nil && in.Arms != nil {
		o.Tick = &rollout.Tick{At: *in.Tick, Arms: *in.Arms, Unsplit: in.Unsplit, History: in.History}
		if in.Weight != nil {
			o.Tick.Weight = *in.Weight
		}
	}
	return o
}

// DecisionOf returns the line for a decision about an observation.
func DecisionOf(o engine.Observation, d engine.Decision) Decision {
	line := Decision{
		At: o.At, Position: d.Next.Position(), Phase: d.Next.Phase + 1,
		Decision: d.Kind, Weight: d.Share(), Because: d.Because, Want: d.Want, Answered: d.Answered,
	}
	if o.Tick != nil {
		line.Tick = &o.Tick.At
	}
	return line
}

// Line is one encoded line, without its newline.
type Line = json.RawMessage

// Encode returns the line for any of this package's types.
func Encode(v any) (Line, error) { return json.Marshal(v) }
