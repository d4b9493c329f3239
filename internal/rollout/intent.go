package rollout

import "time"

// IntentKind is what a person asked for.
type IntentKind string

const (
	// Promote approves what the run waits for, or ends the current phase now.
	Promote IntentKind = "promote"
	// Pause keeps the weight where it is until Resume.
	Pause  IntentKind = "pause"
	Resume IntentKind = "resume"
	// Rollback sends all traffic back to stable. It beats every other intent.
	Rollback IntentKind = "rollback"
	// Complain reports a user's complaint. It asks for nothing: it is counted
	// and judged.
	Complain IntentKind = "complain"
)

// Intent is a person's request to a run. It enters through the store and
// becomes part of the next observation.
type Intent struct {
	// ID is unique in the run; an intent is acted on once.
	ID    string     `json:"id"`
	Kind  IntentKind `json:"intent"`
	At    time.Time  `json:"at"`
	Actor string     `json:"actor"`
	// Reason is the person's own words, optional.
	Reason string `json:"reason,omitempty"`
	// Arm, with Complain, is the version that the user had; empty when unknown.
	Arm Arm `json:"arm,omitempty"`
	// Full, with Promote, ends every remaining phase without waiting.
	Full bool `json:"full,omitempty"`
}
