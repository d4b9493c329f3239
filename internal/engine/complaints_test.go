package engine_test

import (
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// A complaint counts once, in the next tick, and the tick itself stays as it
// was collected.
func TestAComplaintIsCountedOnceInTheNextTick(t *testing.T) {
	spec := rollout.DefaultSpec()
	spec.Analysis.Checks = []rollout.Check{{Name: "complaints", Type: rollout.Complaints}}
	plan := engine.PlanOf(spec)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	state := engine.StartWatching(plan, at)
	look := func(tick bool, intents ...rollout.Intent) engine.Decision {
		at = at.Add(10 * time.Second)
		o := engine.Observation{At: at, Intents: intents}
		if tick {
			o.Tick = &rollout.Tick{At: at, Weight: 5, Arms: rollout.Arms{Stable: arm(950, 0), Canary: arm(50, 0)}}
		}
		d := engine.Decide(plan, state, o)
		if tick && o.Tick.Arms.Canary.Complaints != nil {
			t.Error("the tick was changed")
		}
		state = d.Next
		return d
	}
	complain := func(id string, about rollout.Arm) rollout.Intent {
		return rollout.Intent{ID: id, Kind: rollout.Complain, Actor: "ada", Reason: "no basket", Arm: about}
	}
	if d := look(true); d.Next.Assessment.Results[0].Judged {
		t.Errorf("judged before anybody complained: %+v", d.Next.Assessment.Results[0])
	}
	d := look(false, complain("1", rollout.Canary), complain("2", rollout.Stable), complain("3", ""))
	if len(d.Answered) != 3 || !strings.Contains(d.Answered[0].Message, "against the canary") || !strings.Contains(d.Answered[2].Message, "not judged") {
		t.Errorf("answers %+v", d.Answered)
	}
	for range 3 {
		look(true)
	}
	want := engine.Complaints{Stable: 1, Canary: 1, Unknown: 1}
	if state.Complaints != want {
		t.Errorf("%+v, want %+v", state.Complaints, want)
	}
	if said := state.Assessment.Results[0].Message; !strings.Contains(said, "(1 of the canary's users, 1 of stable's)") {
		t.Errorf("the check says %q", said)
	}
}

func TestComplaintsOfTheCanaryAloneRollBack(t *testing.T) {
	spec := rollout.DefaultSpec()
	spec.Analysis.Checks = []rollout.Check{{Name: "complaints", Type: rollout.Complaints}}
	plan := engine.PlanOf(spec)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	state := engine.StartWatching(plan, at)
	needed := 0
	for ; state.Status == engine.Progressing && needed < 20; needed++ {
		at = at.Add(10 * time.Second)
		state = engine.Decide(plan, state, engine.Observation{
			At:      at,
			Tick:    &rollout.Tick{At: at, Weight: 5, Arms: rollout.Arms{Stable: arm(950, 0), Canary: arm(50, 0)}},
			Intents: []rollout.Intent{{ID: at.String(), Kind: rollout.Complain, Arm: rollout.Canary, Actor: "ada", Reason: "no basket"}},
		}).Next
	}
	t.Logf("rolled back with complaint %d", needed)
	if state.Status != engine.RollingBack || needed < 3 || needed > 8 {
		t.Errorf("%s after %d complaints", state.Status, needed)
	}
}
