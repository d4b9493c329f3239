// Package traffictest is the conformance suite of the traffic port: what every
// router must do, as a client counts it. It knows no adapter; an adapter's test
// brings a Harness that sends requests to where its users would.
package traffictest

import (
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// Harness is one router under test, with instances behind it.
type Harness struct {
	// Router was never applied to.
	Router traffic.Router
	// Stable and Canary are instances that answer which arm they belong to; at
	// least two of stable where the router is told its instances.
	Stable, Canary []rollout.Instance
	// StableID and CanaryID name the arms' groups, for a router that finds
	// instances by itself.
	StableID, CanaryID string
	// Baseline is fresh instances of stable's version, and BaselineID names their
	// group; without either the router takes none here. With one of them it is a
	// traffic.Comparer.
	Baseline   []rollout.Instance
	BaselineID string
	// Send sends one request as a user does and says which arm answered.
	// It may be called at once from many goroutines.
	Send func() (rollout.Arm, error)
	// SendAs sends a request as a tester of an arm does, who knows what to carry;
	// nil where the router leads nobody so. With it the router is a traffic.Matcher.
	SendAs func(rollout.Arm) (rollout.Arm, error)
	// Exact says that every run of requests is split exactly, not by chance.
	Exact bool
	// Hold sends a request that the instance keeps until release is called,
	// and returns once it is there; nil where that cannot be done.
	Hold func(t *testing.T) *Held
	// FindsInstances says that the router ignores the instances of a split.
	FindsInstances bool
	// Reopen ends the router as a kill -9 does and returns the one that a new
	// Serin has, before it was applied to; nil where that cannot be done.
	Reopen func(t *testing.T) traffic.Router
	// Patience bounds every wait for an applied split; default 10 s. In a wait the
	// router is asked a thousand times at most.
	Patience time.Duration
	// Requests is how many requests a share is counted over; default 1000.
	Requests int
	// Count says how many of n requests the canary answers, where that is known
	// without sending them one by one; nil means Send.
	Count func(n int) (canary int, err error)
	// CountBaseline is Count for the baseline.
	CountBaseline func(n int) (baseline int, err error)
	// Arrange, when it is not nil, makes the canary's instances for a weight
	// before it is applied: for a router that splits by their number.
	Arrange func(t *testing.T, weight int)
	// Share is the percent that a weight really makes, at most the weight; nil
	// means the weight.
	Share func(weight int) float64
	// Waits says that Apply may ask to be called again, as for endpoints that
	// are not there yet.
	Waits bool
	// Lag is how long requests may still follow the old split when the router
	// says that the new one is in effect: that of a data plane that is told by
	// others.
	Lag time.Duration
	// Weights are those that are tried one after another.
	Weights []int
	// Rounds is how often the weight goes up and down under load.
	Rounds int
}

// Held is a request on its way.
type Held struct {
	// Release lets the instance answer; it returns which arm that was.
	Release func() (rollout.Arm, error)
	// Instance is where the request is, by name.
	Instance string
}

// Run runs the suite; start makes a new harness for each test.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"before the first split nothing is known", knowsNothing},
		{"what leads to other pods than stable's is left as it is", leavesOthers},
		{"users see the share that was asked for", splits},
		{"the same split again changes nothing", isIdempotent},
		{"at weight 0 the canary gets no request", goesBackAtOnce},
		{"no request fails while the weight changes under load", switchesUnderLoad},
		{"a weight that cannot be is refused and the split stays", refusesWeights},
		{"testers reach the canary whatever the weight, and nobody else does", leadsTesters},
		{"a baseline gets what it is asked for, out of stable's part", compares},
		{"a promoted split is told as such", tellsPromoted},
		{"a request in flight is finished where it is", finishesInFlight},
		{"requests at a removed instance are told and finished", drains},
		{"after a crash the weight in effect is known", survivesCrash},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{Harness: start(t)}
			if s.Patience == 0 {
				s.Patience = 10 * time.Second
			}
			if s.Requests == 0 {
				s.Requests = 1000
			}
			if s.Weights == nil {
				s.Weights = []int{0, 5, 50, 100, 25, 1, 0}
			}
			if s.Rounds == 0 {
				s.Rounds = 40
				if !s.Exact {
					s.Rounds = 2 // a split that travels takes its time
				}
			}
			c.run(t, s)
		})
	}
}

type suite struct{ Harness }

// at is the split of a weight over all instances.
func (s *suite) at(weight int) traffic.Split {
	return traffic.Split{Weight: weight, Stable: s.Stable, Canary: s.Canary, StableID: s.StableID, CanaryID: s.CanaryID}
}

// promoted is the split of a weight whose arms both reach the canary's
// instances.
func (s *suite) promoted(weight int) traffic.Split {
	return traffic.Split{Weight: weight, Stable: s.Canary, Canary: s.Canary, StableID: s.CanaryID, CanaryID: s.CanaryID, Promoted: true}
}

// apply makes a split and waits until requests follow it.
func (s *suite) apply(t *testing.T, split traffic.Split) traffic.Observed {
	t.Helper()
	o := s.move(t, split)
	time.Sleep(s.Lag)
	return o
}

// move makes a split and waits until it is in effect.
func (s *suite) move(t *testing.T, split traffic.Split) traffic.Observed {
	t.Helper()
	if s.Arrange != nil && !split.Promoted {
		s.Arrange(t, split.Weight)
	}
	deadline := time.Now().Add(s.Patience)
	err := s.Router.Apply(t.Context(), split)
	for s.Waits && err != nil && !errors.Is(err, traffic.ErrRefused) && time.Now().Before(deadline) {
		time.Sleep(s.pause())
		err = s.Router.Apply(t.Context(), split)
	}
	if err != nil {
		t.Fatalf("Apply(weight %d): %v", split.Weight, err)
	}
	return s.inEffect(t, split.Weight)
}

// pause is between two looks of a wait.
func (s *suite) pause() time.Duration { return s.Patience / 1000 }

func (s *suite) inEffect(t *testing.T, weight int) traffic.Observed {
	t.Helper()
	deadline := time.Now().Add(s.Patience)
	for {
		o := s.observe(t)
		if o.Known && o.InEffect && o.Weight == weight {
			return o
		}
		if time.Now().After(deadline) {
			t.Fatalf("weight %d is not in effect after %v: %+v", weight, s.Patience, o)
		}
		time.Sleep(s.pause())
	}
}

func (s *suite) observe(t *testing.T) traffic.Observed {
	t.Helper()
	o, err := s.Router.Observe(t.Context())
	if err != nil {
		t.Fatalf("Observe: %v", err)
	}
	return o
}

// send sends n requests and counts those that the canary answered.
func (s *suite) send(t *testing.T, n int) (canary int) {
	t.Helper()
	canary, _ = s.sendApart(t, n)
	return canary
}

// sendApart is send, and counts the baseline's answers too.
func (s *suite) sendApart(t *testing.T, n int) (canary, baseline int) {
	t.Helper()
	if s.Count != nil {
		canary, err := s.Count(n)
		if err == nil && s.CountBaseline != nil {
			baseline, err = s.CountBaseline(n)
		}
		if err != nil {
			t.Fatalf("users' requests fail: %v", err)
		}
		return canary, baseline
	}
	for range n {
		arm, err := s.Send()
		if err != nil {
			t.Fatalf("a user's request failed: %v", err)
		}
		switch arm {
		case rollout.Canary:
			canary++
		case rollout.Baseline:
			baseline++
		}
	}
	return canary, baseline
}

// checkShare checks the canary's count of n requests at a weight.
func (s *suite) checkShare(t *testing.T, weight, canary, n int) {
	t.Helper()
	p := float64(weight) / 100
	if s.Share != nil {
		p = s.Share(weight) / 100
	}
	want := p * float64(n)
	off := 1.0
	if !s.Exact {
		// Five standard deviations: by chance once in millions of tests.
		off = 5 * math.Sqrt(float64(n)*p*(1-p))
	}
	if math.Abs(float64(canary)-want) > off {
		t.Errorf("weight %d: the canary got %d of %d requests, want %.0f ± %.0f", weight, canary, n, want, off)
	}
}

func knowsNothing(t *testing.T, s *suite) {
	if o := s.observe(t); o.Known || o.Weight != 0 || o.Promoted {
		t.Errorf("observed %+v before any split, want nothing known and weight 0", o)
	}
}

func leavesOthers(t *testing.T, s *suite) {
	if !s.FindsInstances {
		t.Skip("this router is told its instances")
	}
	err := s.Router.Apply(t.Context(), traffic.Split{StableID: "nobody", CanaryID: s.CanaryID})
	if !errors.Is(err, traffic.ErrRefused) {
		t.Errorf("Apply: %v, want ErrRefused, as no pod that users reach is stable's", err)
	}
	if o := s.observe(t); o.Known {
		t.Errorf("observed %+v, want nothing held", o)
	}
	time.Sleep(s.Lag)
	s.send(t, s.Requests/10) // which are answered
}

func splits(t *testing.T, s *suite) {
	for _, weight := range s.Weights {
		s.apply(t, s.at(weight))
		s.checkShare(t, weight, s.send(t, s.Requests), s.Requests)
		if o := s.observe(t); o.Weight != weight || o.ChangedBy != "" {
			t.Errorf("observed %+v, want weight %d changed by nobody else", o, weight)
		}
	}
}

func isIdempotent(t *testing.T, s *suite) {
	s.apply(t, s.at(50))
	canary, each := 0, 10
	if s.Lag > 0 {
		each = s.Requests / 5
	}
	for range s.Requests / each {
		s.apply(t, s.at(50))
		canary += s.send(t, each)
	}
	// Applying again must not begin the sequence anew either.
	s.checkShare(t, 50, canary, s.Requests/each*each)
}

func goesBackAtOnce(t *testing.T, s *suite) {
	rounds := 10
	if s.Lag > 0 {
		rounds = 3
	}
	for range rounds {
		s.apply(t, s.at(50))
		s.send(t, 10)
		s.apply(t, s.at(0))
		if canary := s.send(t, s.Requests/10); canary > 0 {
			t.Fatalf("the canary got %d requests that began after weight 0 was in effect", canary)
		}
	}
	// Also while the canary has gone.
	s.apply(t, traffic.Split{Weight: 0, Stable: s.Stable})
	if canary := s.send(t, s.Requests/10); canary > 0 {
		t.Fatalf("the canary got %d requests although it is not named", canary)
	}
}

func switchesUnderLoad(t *testing.T, s *suite) {
	s.apply(t, s.at(0))
	var stop atomic.Bool
	var sent, failed atomic.Int64
	var first atomic.Value
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for !stop.Load() {
				sent.Add(1)
				if _, err := s.Send(); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, err)
				}
			}
		})
	}
	// A slow client has sent too little by then, and goes on.
	for round, began := 0, time.Now(); round < s.Rounds || sent.Load() < 100 && time.Since(began) < s.Patience; round++ {
		for _, weight := range []int{5, 10, 25, 50, 100, 0} {
			s.move(t, s.at(weight))
			time.Sleep(time.Millisecond)
		}
	}
	stop.Store(true)
	users.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed, the first with: %v", failed.Load(), sent.Load(), first.Load())
	}
	if sent.Load() < 100 {
		t.Errorf("only %d requests were sent; the test saw too little", sent.Load())
	}
}

func refusesWeights(t *testing.T, s *suite) {
	s.apply(t, s.at(50))
	for _, weight := range []int{-1, 101} {
		if err := s.Router.Apply(t.Context(), s.at(weight)); !errors.Is(err, traffic.ErrRefused) {
			t.Errorf("Apply(weight %d): %v, want ErrRefused", weight, err)
		}
	}
	s.inEffect(t, 50)
	s.checkShare(t, 50, s.send(t, s.Requests), s.Requests)
}

func leadsTesters(t *testing.T, s *suite) {
	if s.SendAs == nil {
		t.Skip("this router leads no testers here")
	}
	told, err := s.Router.(traffic.Matcher).Matched(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(told, func(a traffic.Aside) bool { return a.Arm == rollout.Canary && !a.Open && a.Requests != "" }) {
		t.Errorf("told %v, want what leads testers to the canary", told)
	}
	for _, weight := range []int{0, 50, 100, 0} {
		s.apply(t, s.at(weight))
		canary, users := 0, s.Requests/2
		for range users {
			if arm, err := s.SendAs(rollout.Canary); err != nil || arm != rollout.Canary {
				t.Fatalf("weight %d: a tester's request was answered by %s (%v), want the canary", weight, arm, err)
			}
			arm, err := s.Send()
			if err != nil {
				t.Fatalf("a user's request failed: %v", err)
			}
			if arm == rollout.Canary {
				canary++
			}
		}
		// Testers take nothing from the users' share either.
		s.checkShare(t, weight, canary, users)
		if o := s.observe(t); s.FindsInstances && !slices.Contains(o.Unsplit, rollout.Canary) {
			t.Errorf("observed %+v, want it told that the canary gets requests past the split", o)
		}
	}
}

func compares(t *testing.T, s *suite) {
	if s.Baseline == nil && s.BaselineID == "" {
		t.Skip("this router takes no baseline here")
	}
	if _, ok := s.Router.(traffic.Comparer); !ok {
		t.Fatal("the router does not say that it takes a baseline")
	}
	gets := func(weight, baseline int) {
		t.Helper()
		canary, fresh := s.sendApart(t, s.Requests)
		s.checkShare(t, weight, canary, s.Requests)
		s.checkShare(t, baseline, fresh, s.Requests)
	}
	s.apply(t, s.at(0))
	gets(0, 0)
	for _, weight := range []int{20, 33, 5} {
		s.compare(t, weight, weight)
		gets(weight, weight)
	}
	// Given up, it leaves its part to stable, and the canary has what it had.
	s.compare(t, 5, 0)
	gets(5, 0)
	s.compare(t, 33, 33)
	s.apply(t, s.at(0))
	gets(0, 0)
	s.compare(t, 33, 33)
	s.apply(t, s.at(100))
	over := s.promoted(0)
	over.Canary = nil
	if o := s.apply(t, over); o.Baseline != 0 {
		t.Errorf("observed %+v, want nothing to the baseline once the canary is stable", o)
	}
	if _, fresh := s.sendApart(t, s.Requests/10); fresh > 0 {
		t.Errorf("the baseline got %d requests after the canary had become stable", fresh)
	}
}

// compare makes a split with a baseline and waits until requests follow it. A
// baseline gets its part when it can be reached, which Apply does not wait for.
func (s *suite) compare(t *testing.T, weight, baseline int) {
	t.Helper()
	split := s.at(weight)
	split.BaselineWeight, split.Baseline, split.BaselineID = baseline, s.Baseline, s.BaselineID
	deadline := time.Now().Add(s.Patience)
	for {
		s.move(t, split)
		o := s.observe(t)
		if o.Baseline == baseline && o.InEffect {
			time.Sleep(s.Lag)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("weight %d with %d for the baseline is not in effect after %v: %+v", weight, baseline, s.Patience, o)
		}
		time.Sleep(s.pause())
	}
}

func tellsPromoted(t *testing.T, s *suite) {
	s.apply(t, s.at(100))
	if o := s.apply(t, s.promoted(100)); !o.Promoted {
		t.Errorf("observed %+v, want promoted", o)
	}
	if canary := s.send(t, s.Requests/10); canary != s.Requests/10 {
		t.Errorf("%d of %d requests reached the promoted instances, want all", canary, s.Requests/10)
	}
	// The end of the run: the promoted instances are all there is.
	over := s.promoted(0)
	over.Canary = nil
	if o := s.apply(t, over); !o.Promoted {
		t.Errorf("observed %+v, want promoted", o)
	}
	if canary := s.send(t, s.Requests/10); canary != s.Requests/10 {
		t.Errorf("%d of %d requests reached the promoted instances, want all", canary, s.Requests/10)
	}
}

func finishesInFlight(t *testing.T, s *suite) {
	if s.Hold == nil {
		t.Skip("requests cannot be held here")
	}
	s.apply(t, s.at(100))
	held := s.Hold(t)
	if o := s.observe(t); o.CanaryInflight != 1 && o.CanaryInflight != -1 {
		t.Errorf("observed %+v, want one request in flight at the canary", o)
	}
	s.apply(t, s.at(0))
	if canary := s.send(t, 50); canary > 0 {
		t.Errorf("the canary got %d requests that began after weight 0 was in effect", canary)
	}
	if arm, err := held.Release(); err != nil || arm != rollout.Canary {
		t.Errorf("the request in flight was answered by %s (%v), want the canary", arm, err)
	}
	s.eventually(t, "the canary is drained", func(o traffic.Observed) bool { return o.CanaryInflight <= 0 })
}

func drains(t *testing.T, s *suite) {
	if s.Hold == nil || s.FindsInstances {
		t.Skip("requests cannot be held here, or the router finds instances by itself")
	}
	s.apply(t, s.at(0))
	if o := s.observe(t); o.DrainingInflight != 0 {
		t.Errorf("observed %+v, want nothing draining", o)
	}
	held := s.Hold(t)
	var rest []rollout.Instance
	for _, i := range s.Stable {
		if i.Name != held.Instance {
			rest = append(rest, i)
		}
	}
	s.apply(t, traffic.Split{Weight: 0, Stable: rest, Canary: s.Canary})
	if o := s.observe(t); o.DrainingInflight != 1 {
		t.Errorf("observed %+v, want one request draining", o)
	}
	if arm, err := held.Release(); err != nil || arm != rollout.Stable {
		t.Errorf("the request at the removed instance was answered by %s (%v), want stable", arm, err)
	}
	s.eventually(t, "the removed instance is drained", func(o traffic.Observed) bool { return o.DrainingInflight == 0 })
}

func (s *suite) eventually(t *testing.T, what string, ok func(traffic.Observed) bool) {
	t.Helper()
	deadline := time.Now().Add(s.Patience)
	for {
		o := s.observe(t)
		if ok(o) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v: %+v", what, s.Patience, o)
		}
		time.Sleep(s.pause())
	}
}

func survivesCrash(t *testing.T, s *suite) {
	if s.Reopen == nil {
		t.Skip("this router lives outside of Serin")
	}
	for _, split := range []traffic.Split{
		s.at(25), s.at(100), s.promoted(0), s.at(0), s.at(5),
	} {
		s.apply(t, split)
		s.Router = s.Reopen(t)
		o := s.observe(t)
		if !o.Known || o.Weight != split.Weight || o.Promoted != split.Promoted {
			t.Errorf("after a crash at weight %d, promoted %t: observed %+v", split.Weight, split.Promoted, o)
		}
		s.apply(t, split)
		if split.Weight > 0 && !split.Promoted {
			s.checkShare(t, split.Weight, s.send(t, s.Requests), s.Requests)
		}
	}
}
