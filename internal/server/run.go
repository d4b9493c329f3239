package server

import (
	"time"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/store"
)

// Run is one run as the API tells of it. The rollout's own configuration, which
// may hold references to credentials, and the analysis' memory are left out.
type Run struct {
	ID            string    `json:"id"`
	Number        int       `json:"number" doc:"Counts the rollout's runs from 1"`
	Rollout       string    `json:"rollout" example:"shop"`
	StableVersion string    `json:"stableVersion" doc:"Version that served when the run began" example:"v1"`
	CanaryVersion string    `json:"canaryVersion" doc:"The candidate" example:"v2"`
	Actor         string    `json:"actor" doc:"Who started it"`
	StartedAt     time.Time `json:"startedAt"`
	EndedAt       time.Time `json:"endedAt,omitzero" doc:"Missing while the run goes on"`
	Standing      Standing  `json:"standing" doc:"How the run stands, in one word" enum:"running,waiting,promoted,rolledBack"`
	Plan          Plan      `json:"plan" doc:"What was pinned when the run began, as in its record"`
	State         State     `json:"state" doc:"What is remembered between two looks, as in its record"`
	Archived      bool      `json:"archived" doc:"Record and report are in the archive"`
	Report        string    `json:"report,omitempty" doc:"Where the report is"`
}

// Standing is how a run stands.
type Standing string

const (
	Running    Standing = "running"
	Waiting    Standing = "waiting" // for a person
	Promoted   Standing = "promoted"
	RolledBack Standing = "rolledBack"
)

// Plan is the engine's, with a schema.
type Plan struct{ engine.Plan }

// State is the engine's, with a schema.
type State struct{ engine.State }

// Schema implements huma.SchemaProvider.
func (Plan) Schema(huma.Registry) *huma.Schema {
	return object("The plan of the run", map[string]*huma.Schema{
		"phases": {Type: huma.TypeArray, Items: object("A phase", map[string]*huma.Schema{
			"weight":   {Type: huma.TypeInteger, Description: "Percent of traffic"},
			"duration": {Type: huma.TypeString, Description: "Such as 30m"},
		})},
		"prepare":     {Type: huma.TypeString},
		"holdTimeout": {Type: huma.TypeString},
		"analysis":    object("What is compared, as in the rollout's file", nil),
	})
}

// Schema implements huma.SchemaProvider.
func (State) Schema(huma.Registry) *huma.Schema {
	return object("The state of the run", map[string]*huma.Schema{
		"status": {Type: huma.TypeString, Enum: []any{
			string(engine.Preparing), string(engine.Progressing), string(engine.Promoting),
			string(engine.RollingBack), string(engine.Promoted), string(engine.RolledBack),
		}},
		"stage":      {Type: huma.TypeString},
		"phase":      {Type: huma.TypeInteger, Description: "Index of the phase, from 0"},
		"elapsed":    {Type: huma.TypeString},
		"watched":    {Type: huma.TypeString, Description: "How long the phase has been watched"},
		"hold":       object("Why the weight stays where it is", nil),
		"cause":      {Type: huma.TypeArray, Items: object("A reason for the rollback", nil)},
		"assessment": object("What the latest tick said", nil),
	})
}

// object is the schema of an object that may have more than is listed.
func object(description string, properties map[string]*huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Description: description, Properties: properties, AdditionalProperties: true}
}

// runOf tells of a stored run.
func runOf(r store.Run) Run {
	out := Run{
		ID: r.ID, Number: r.Number, Rollout: r.Rollout,
		StableVersion: r.StableVersion, CanaryVersion: r.CanaryVersion,
		Actor: r.Actor, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		Standing: standing(r.State),
		Plan:     Plan{r.Plan}, State: State{r.State},
		Archived: r.Archived, Report: r.Report,
	}
	out.State.Analysis = analysis.State{}
	return out
}

func standing(s engine.State) Standing {
	switch {
	case s.Status == engine.Promoted:
		return Promoted
	case s.Status == engine.RolledBack:
		return RolledBack
	case s.Waiting():
		return Waiting
	}
	return Running
}

// Ended reports whether the run is over.
func (r Run) Ended() bool { return r.State.Ended() }

// Stored returns the run in the store's form, as far as the API tells of it.
func (r Run) Stored() store.Run {
	return store.Run{
		ID: r.ID, Number: r.Number, Rollout: r.Rollout,
		StableVersion: r.StableVersion, CanaryVersion: r.CanaryVersion,
		Actor: r.Actor, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		Plan: r.Plan.Plan, State: r.State.State,
		Archived: r.Archived, Report: r.Report,
	}
}
