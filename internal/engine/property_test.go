package engine_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// What design.md says is always true, asserted after every look of random runs
// in random worlds. A failure prints the seed and the drawn values, and is
// drawn again with -rapid.seed.
func TestWhatIsAlwaysTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.begin()
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			r.look(r.world.draw(t, r.plan, r.state))
		}
	})
}

// L1, L3: once everything obeys again, every run ends or waits for a person;
// and a person who waits no longer is always obeyed.
func TestEveryRunEndsOrWaitsForAPerson(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.begin()
		for range rapid.IntRange(0, 25).Draw(t, "looks") {
			r.look(r.world.draw(t, r.plan, r.state))
		}
		r.goOn()
		switch {
		case r.state.Waiting():
			o := r.world.benign(r.plan, r.state)
			o.Intents = []rollout.Intent{{ID: "end", Kind: rollout.Rollback, Actor: "ana"}}
			r.look(o)
			r.goOn()
			if r.state.Status != engine.RolledBack {
				t.Fatalf("a person rolled back and the run is at %s", r.state.Position())
			}
		case !r.state.Ended():
			t.Fatalf("everything obeys and the run stays at %s", r.state.Position())
		}
	})
}

// A healthy run in an obedient world that needs nobody is promoted.
func TestAHealthyRunIsPromoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.goOn()
		approval := slices.ContainsFunc(r.plan.Hooks, func(h engine.Hook) bool { return h.Approval })
		if r.state.Status != engine.Promoted && !approval {
			t.Fatalf("the run is at %s", r.state.Position())
		}
	})
}

// Nothing seen at all, in any state that a run can come to, is survived and
// raises nothing.
func TestNothingSeenRaisesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.begin()
		for range rapid.IntRange(0, 10).Draw(t, "looks") {
			r.look(r.world.draw(t, r.plan, r.state))
		}
		for range 10 {
			before := r.world.want.Weight
			r.world.now = r.world.now.Add(time.Duration(interval))
			r.look(engine.Observation{At: r.world.now})
			if r.world.want.Weight > before {
				t.Fatalf("the weight rises from %d to %d unseen", before, r.world.want.Weight)
			}
		}
		r.look(engine.Observation{})
	})
}

// run is a run being checked.
type run struct {
	t     *rapid.T
	plan  engine.Plan
	state engine.State
	world outside

	// capacity is the canary's as last seen, fresh the ticks of both arms in
	// this phase, switched whether stable was last seen to be the tested
	// instances.
	capacity int
	fresh    int
	switched bool
}

func newRun(t *rapid.T) *run {
	p := drawPlan(t)
	r := &run{t: t, plan: p, state: engine.Start(p)}
	r.world.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r.world.want = p.Want(r.state)
	r.world.byInstances = rapid.IntRange(0, 2).Draw(t, "weights are made by instances") == 0
	r.world.roomy = !r.world.byInstances && rapid.Bool().Draw(t, "the canary has room")
	r.world.baseline = rapid.SampledFrom([]string{"", "", "unseen", "unready", "failed"}).Draw(t, "the baseline is")
	return r
}

// lookOn looks at an obedient world, an interval later.
func (r *run) lookOn() {
	r.world.now = r.world.now.Add(time.Duration(interval))
	r.look(r.world.benign(r.plan, r.state))
}

// begin lets all go well for a while, so that trouble begins anywhere in a run.
func (r *run) begin() {
	for range rapid.IntRange(0, 50).Draw(r.t, "healthy looks") {
		r.lookOn()
	}
}

// goOn looks at an obedient world until the run is over or waits for a person.
func (r *run) goOn() {
	for range 1000 {
		if r.state.Ended() || r.state.Waiting() {
			return
		}
		r.lookOn()
	}
}

// look decides, checks and goes on.
func (r *run) look(o engine.Observation) {
	r.t.Helper()
	was := r.state
	before := encode(r.t, was)
	d := engine.Decide(r.plan, was, o)
	if !bytes.Equal(before, encode(r.t, was)) {
		r.t.Fatalf("Decide changed the state it was given")
	}
	next := decode(r.t, encode(r.t, d.Next))
	if o.Canary != nil {
		r.capacity = o.Canary.Capacity
	}
	if w := o.Weight; w != nil && w.ByInstances && w.Known && w.InEffect && w.Percent == r.world.want.Weight {
		r.capacity = max(r.capacity, w.Percent) // the instances that make it are there
	}
	if w := o.Weight; w != nil && was.Status == engine.Promoting {
		if late := was.Stage == engine.Removing || was.Stage == engine.Finishing; !late && was.Stage != engine.Gathering {
			r.switched = w.Promoted && w.InEffect && w.Percent == 0
		}
	}
	if o.Tick != nil && d.Next.Assessment.Data == analysis.DataFresh {
		r.fresh++
	}
	r.exposure(was, d)
	r.baseline(was, o, d)
	r.passes(was, o, d)
	r.progress(was, d)
	r.rollback(was, o, d)
	r.words(was, o, d)
	r.replay(was, o, d, next)
	if d.Next.Phase != was.Phase || d.Next.Status != was.Status {
		r.fresh = 0
	}
	r.state, r.world.want = next, d.Want
}

// exposure: S1, S2, S3.
func (r *run) exposure(was engine.State, d engine.Decision) {
	allowed := 0
	if n := d.Next; n.Status == engine.Progressing || n.Status == engine.Promoting && n.Stage == engine.Switching {
		allowed = r.plan.Phases[n.Phase].Weight
	}
	// Where instances make the weight, the canary may lack those that are added to
	// the ones that were enough before, and has none beyond its phase's.
	enough := d.Want.Weight
	if n := d.Next; n.ByInstances && n.Status == engine.Progressing && n.Seen > 0 {
		enough = min(enough, n.Seen)
	}
	switch {
	case d.Next.ByInstances && d.Next.Status == engine.Progressing && d.Want.Canary > allowed:
		r.t.Fatalf("S1: %s wants a canary of %d, its phase has %d", d.Next.Position(), d.Want.Canary, allowed)
	case d.Want.Weight > allowed || d.Want.Weight < 0:
		r.t.Fatalf("S1: %s wants weight %d, its phase has %d", d.Next.Position(), d.Want.Weight, allowed)
	case d.Want.Weight > 0 && r.capacity < enough:
		r.t.Fatalf("S2: %s wants weight %d, the canary was last seen with capacity %d", d.Next.Position(), d.Want.Weight, r.capacity)
	case d.Want.Canary < d.Want.Weight:
		r.t.Fatalf("S2: weight %d for a canary of %d", d.Want.Weight, d.Want.Canary)
	case d.Want.Stable < rollout.Full && !r.switched:
		r.t.Fatalf("S3: %s reduces stable, and the tested instances were not seen to be stable", d.Next.Position())
	case d.Want.Stable < rollout.Full && d.Want.Weight > 0:
		r.t.Fatalf("S3: stable is reduced while the weight is %d", d.Want.Weight)
	}
}

// baseline: it takes its traffic from stable, never from the canary's limit, has
// had the capacity for it, and what is lost is lost. No trouble of its own decides
// against the canary.
func (r *run) baseline(was engine.State, o engine.Observation, d engine.Decision) {
	b, w := d.Next.Baseline, d.Want
	back := was.Status != engine.RollingBack && d.Next.Status == engine.RollingBack
	switch {
	case !r.plan.Baseline && (w.Baseline != 0 || w.BaselineWeight != 0 || b != engine.Baseline{}):
		r.t.Fatalf("a baseline that nobody asked for: %+v, %+v", w, b)
	case w.BaselineWeight != 0 && (w.BaselineWeight > r.plan.BaselineWeight(w.Weight) || w.BaselineWeight > w.Baseline || !b.Up || b.Lost != ""):
		r.t.Fatalf("%s wants a baseline of %d with weight %d beside a weight of %d: %+v", d.Next.Position(), w.Baseline, w.BaselineWeight, w.Weight, b)
	case w.BaselineWeight+w.Weight > rollout.Full:
		r.t.Fatalf("weights %d and %d leave stable less than nothing", w.Weight, w.BaselineWeight)
	case d.Next.Ended() && w.Baseline != 0:
		r.t.Fatalf("%s and the baseline is to stay", d.Next.Position())
	case was.Baseline.Lost != "" && was.Baseline.Lost != b.Lost:
		r.t.Fatalf("the baseline was lost and is %+v", b)
	case o.Baseline != nil && o.Baseline.Failed != "" && w.BaselineWeight != 0:
		r.t.Fatalf("a failed baseline gets %d %%", w.BaselineWeight)
	}
	if !back || o.Baseline == nil {
		return
	}
	// Without a look at the baseline the same is decided.
	blind := o
	blind.Baseline = nil
	if again := engine.Decide(r.plan, was, blind); again.Next.Status != engine.RollingBack {
		r.t.Fatalf("rolled back for the baseline's sake: %+v", d.Because)
	}
}

// passes: S5. What nobody gave is given on a tick with figures of both arms,
// after the phase was watched.
func (r *run) passes(was engine.State, o engine.Observation, d engine.Decision) {
	if len(d.Next.Passes) == len(was.Passes) {
		return
	}
	p := d.Next.Passes[len(d.Next.Passes)-1]
	// The next phase may have begun in the same look.
	watched := was.Watched + d.Next.Elapsed - was.Elapsed
	early := r.plan.Early != nil && watched >= r.plan.Early.After
	switch {
	case len(d.Next.Passes) != len(was.Passes)+1 || p.Phase != was.Phase:
		r.t.Fatalf("S5: phase %d gives the passes %+v", was.Phase+1, d.Next.Passes)
	case p.By != "":
	case o.Tick == nil || d.Next.Assessment.Data != analysis.DataFresh:
		r.t.Fatalf("S5: phase %d passes on data %q", was.Phase+1, d.Next.Assessment.Data)
	case watched < r.plan.Phases[was.Phase].Duration && !early:
		r.t.Fatalf("S5: phase %d passes after %s", was.Phase+1, watched)
	}
}

// progress: S5, and a pause stops it.
func (r *run) progress(was engine.State, d engine.Decision) {
	n := d.Next
	promoting := n.Status == engine.Promoting && was.Status == engine.Progressing
	if n.Phase == was.Phase && !promoting {
		return
	}
	passes := slices.DeleteFunc(slices.Clone(n.Passes), func(p engine.PhasePass) bool { return p.Phase != was.Phase })
	switch {
	case n.Phase != was.Phase && n.Phase != was.Phase+1:
		r.t.Fatalf("S5: phase %d follows phase %d", n.Phase+1, was.Phase+1)
	case promoting && was.Phase != len(r.plan.Phases)-1:
		r.t.Fatalf("S5: promoted after phase %d of %d", was.Phase+1, len(r.plan.Phases))
	case len(passes) != 1:
		r.t.Fatalf("S5: phase %d has %d passes", was.Phase+1, len(passes))
	case passes[0].By == "" && r.fresh == 0:
		r.t.Fatalf("S5: phase %d passed without fresh figures", was.Phase+1)
	case len(passes[0].Because) == 0:
		r.t.Fatalf("S5: the pass of phase %d has no evidence", was.Phase+1)
	case n.Paused != nil:
		r.t.Fatalf("the run was paused by %s and went on from %s to %s", n.Paused.By, was.Position(), n.Position())
	case n.Phase != was.Phase && d.Kind != engine.Proceed || promoting && d.Kind != engine.Complete:
		r.t.Fatalf("%s is not called what it is: %s", n.Position(), d.Kind)
	}
}

// rollback: S4, S7, and what is over stays over.
func (r *run) rollback(was engine.State, o engine.Observation, d engine.Decision) {
	back := func(s engine.State) bool { return s.Status == engine.RollingBack || s.Status == engine.RolledBack }
	asked := slices.ContainsFunc(o.Intents, func(i rollout.Intent) bool { return i.Kind == rollout.Rollback })
	late := was.Status == engine.Promoting && (was.Stage == engine.Removing || was.Stage == engine.Finishing)
	failed := o.Canary != nil && o.Canary.Failed != ""
	switch {
	case back(was) && !back(d.Next):
		r.t.Fatalf("S4: %s after %s", d.Next.Position(), was.Position())
	case back(d.Next) && (d.Want.Weight != 0 || d.Want.Promoted || d.Kind != engine.Rollback):
		r.t.Fatalf("S4: %s wants %+v (%s)", d.Next.Position(), d.Want, d.Kind)
	case (asked || failed) && !late && !was.Ended() && !back(d.Next):
		r.t.Fatalf("S7: a rollback was due and %s was decided", d.Next.Position())
	case was.Ended() && d.Next.Position() != was.Position():
		r.t.Fatalf("%s after %s", d.Next.Position(), was.Position())
	case back(was) && len(was.Cause) > 0 && !reflect.DeepEqual(was.Cause, d.Next.Cause):
		r.t.Fatalf("the cause of the rollback has changed")
	}
}

// words: L4, and every decision says why and when to look again.
func (r *run) words(was engine.State, o engine.Observation, d engine.Decision) {
	var answered []string
	for _, a := range d.Answered {
		if a.Message == "" {
			r.t.Fatalf("L4: intent %s is answered without a word", a.ID)
		}
		answered = append(answered, a.ID)
	}
	var asked []string
	for _, i := range o.Intents {
		asked = append(asked, i.ID)
	}
	slices.Sort(answered)
	slices.Sort(asked)
	switch {
	case !slices.Equal(asked, answered):
		r.t.Fatalf("L4: asked %v, answered %v", asked, answered)
	case len(d.Because) == 0 || slices.ContainsFunc(d.Because, func(b engine.Reason) bool { return b.Message == "" }):
		r.t.Fatalf("%s at %s does not say why: %+v", d.Kind, d.Next.Position(), d.Because)
	case (d.Kind == engine.Hold) != (d.Next.Hold != nil) && !stuck(d.Next):
		r.t.Fatalf("%s with hold %+v", d.Kind, d.Next.Hold)
	case d.WakeAt.Before(o.At) || d.WakeAt.After(o.At.Add(time.Duration(interval))):
		r.t.Fatalf("looks again at %s after %s", d.WakeAt, o.At)
	case d.Next.Elapsed < was.Elapsed || d.Next.Elapsed > was.Elapsed+3*interval:
		r.t.Fatalf("the run's clock went from %s to %s", was.Elapsed, d.Next.Elapsed)
	}
}

// stuck reports that an end of the run waits for a router that does not follow,
// and says so: the one hold beside another decision.
func stuck(s engine.State) bool {
	return s.Hold != nil && s.Hold.Rule == "notInEffect" && s.Hold.Person &&
		(s.Status == engine.RollingBack && s.Stage == engine.Returning ||
			s.Status == engine.Promoting && (s.Stage == engine.Switching || s.Stage == engine.Draining))
}

// replay: S9. What is wanted follows from what is saved, and the same look at
// a state that was saved and loaded gives the same decision, byte for byte.
func (r *run) replay(was engine.State, o engine.Observation, d engine.Decision, next engine.State) {
	if !reflect.DeepEqual(r.plan.Want(next), d.Want) {
		r.t.Fatalf("S9: %s, saved and loaded, wants %+v instead of %+v", d.Next.Position(), r.plan.Want(next), d.Want)
	}
	line, err := record.Encode(record.InputOf(o))
	if err != nil {
		return // figures that are no numbers; whoever measures must not hand them on
	}
	var in record.Input
	if err := json.Unmarshal(line, &in); err != nil {
		r.t.Fatalf("S9: the input cannot be read again: %v", err)
	}
	again := engine.Decide(r.plan, decode(r.t, encode(r.t, was)), in.Observation())
	if a, b := encode(r.t, d.Next), encode(r.t, again.Next); !bytes.Equal(a, b) {
		r.t.Fatalf("S9: decided again, the state differs:\n%s\n%s", a, b)
	}
	a, errA := record.Encode(record.DecisionOf(o, d))
	b, errB := record.Encode(record.DecisionOf(in.Observation(), again))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		r.t.Fatalf("S9: decided again, the decision differs (%v, %v):\n%s\n%s", errA, errB, a, b)
	}
}

func encode(t *rapid.T, s engine.State) []byte {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("the state cannot be saved: %v", err)
	}
	return data
}

func decode(t *rapid.T, data []byte) engine.State {
	t.Helper()
	var s engine.State
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatalf("the state cannot be loaded: %v", err)
	}
	return s
}
