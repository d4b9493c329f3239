package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// written is the record of a run that a person paused.
func written(t *testing.T) []byte {
	t.Helper()
	second := rollout.Duration(time.Second)
	plan := engine.PlanOf(rollout.Spec{
		Plan: rollout.Plan{
			Prepare: second * 10, HoldTimeout: rollout.DefaultHoldTimeout,
			Phases: []rollout.Phase{{Weight: 5, Duration: second * 10}, {Weight: 50, Duration: second * 10}},
		},
		Analysis: rollout.Analysis{Interval: second, Alpha: rollout.DefaultAlpha, Checks: rollout.DefaultChecks()[:1]},
	})
	began := time.Date(2026, 3, 4, 9, 30, 0, 0, time.UTC)
	var out bytes.Buffer
	write := func(v any) {
		line, err := record.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	write(record.Header{Record: record.Version, Plan: plan, Rollout: record.Subject{Name: "shop"},
		Run: record.Run{ID: "shop-1", StableVersion: "v1", CanaryVersion: "v2", StartedAt: began}})
	s := engine.Start(plan)
	for i := range 8 {
		one := &engine.Group{Instances: 1, Ready: 1, Capacity: 100}
		o := engine.Observation{
			At: began.Add(time.Duration(i+1) * time.Second), Stable: one, Canary: one,
			Weight: &engine.Weight{Known: true, InEffect: true, Percent: plan.Want(s).Weight},
		}
		requests, errors := 100.0, 1.0
		arm := &rollout.Sample{Requests: &requests, Errors: &errors}
		o.Tick = &rollout.Tick{At: o.At, Weight: o.Weight.Percent, Arms: rollout.Arms{Stable: arm, Canary: arm}}
		if i == 5 {
			o.Intents = []rollout.Intent{{ID: "1", Kind: rollout.Pause, At: o.At, Actor: "ada", Reason: "lunch"}}
		}
		d := engine.Decide(plan, s, o)
		s = d.Next
		write(record.InputOf(o))
		write(record.DecisionOf(o, d))
	}
	return out.Bytes()
}

func TestAPictureShowsWhatTheRecordHolds(t *testing.T) {
	f, err := project(written(t), time.Second, 80, 22)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.frames) != 9 {
		t.Errorf("8 seconds at a frame a second gave %d frames, want 8 and the last", len(f.frames))
	}
	last := strings.Join(f.frames[len(f.frames)-1].Lines, "\n")
	for _, want := range []string{"shop", "v2", "ada paused the run: lunch", "serin resume shop"} {
		if !strings.Contains(last, want) {
			t.Errorf("the last frame does not say %q:\n%s", want, last)
		}
	}
}

func TestARecordThatIsNoneGivesNoPicture(t *testing.T) {
	if _, err := project(nil, 0, 80, 22); !errors.Is(err, record.ErrTruncated) {
		t.Errorf("an empty record gave %v", err)
	}
	if _, err := project([]byte(`{"record":1`), 0, 80, 22); !errors.Is(err, record.ErrTruncated) {
		t.Errorf("half a line gave %v", err)
	}
}
