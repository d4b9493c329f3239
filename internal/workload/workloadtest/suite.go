// Package workloadtest is the conformance suite of the workload port: what
// every workload must do, asserted on real instances. It also has the sample
// server that adapters' tests run as an instance.
package workloadtest

import (
	"errors"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Harness is one workload under test, in a place of its own. The workload has a
// stable version and, for the first run, a candidate.
type Harness struct {
	// Open opens the workload as a starting Serin does. The suite closes what
	// it opened before it opens again, and then expects to find everything as
	// it was.
	Open func(t *testing.T) workload.Workload
	// Stable and Canary are the labels of the two versions.
	Stable, Canary string
	// SetReady makes an instance's readiness probe succeed or fail from now on;
	// nil where that cannot be done.
	SetReady func(t *testing.T, i rollout.Instance, ready bool)
	// Next is a candidate for a second run, of a label of its own. It must be
	// set for workloads that are Releasers, and for no others: those are made
	// for one run, and end with it.
	Next workload.Version
	// Patience bounds every wait; default 20 s. In a wait the workload is asked a
	// thousand times at most.
	Patience time.Duration
}

// Run runs the suite; start makes a new harness for each test.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"stable alone takes all traffic and there is no canary", restsOnStable},
		{"applying the same want again changes nothing", isIdempotent},
		{"a canary gets capacity for its weight and leaves stable alone", sizesCanary},
		{"a canary that is no longer wanted goes away", removesCanary},
		{"an instance that fails its probes stops counting until it recovers", followsReadiness},
		{"a restart of Serin finds the same instances", isTakenOver},
		{"a promoted canary serves alone, also after a restart", keepsPromoted},
		{"a late tick of a promoted run changes nothing", staysPromoted},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, begin(t, start(t))) })
	}
	t.Run("between runs", func(t *testing.T) {
		s := begin(t, start(t))
		_, isReleaser := s.w.(workload.Releaser)
		if told := s.Next.Version != ""; told != isReleaser {
			t.Fatalf("the workload is told about runs: %v; the harness has a candidate for a second one: %v", isReleaser, told)
		}
		if isReleaser {
			runReleaser(t, start)
		}
	})
}

// runReleaser runs what concerns workloads that outlive a run.
func runReleaser(t *testing.T, start func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"a promoted run makes the candidate stable without touching its instances", endsPromoted},
		{"a rolled back run leaves stable as it was", endsRolledBack},
		{"a second run follows the first", runsAgain},
		{"only one run at a time and none of what serves already", refusesRuns},
		{"a canary without a candidate is refused and stable stays", refusesNoCandidate},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, begin(t, start(t))) })
	}
}

func begin(t *testing.T, h Harness) *suite {
	s := &suite{Harness: h}
	if s.Patience == 0 {
		s.Patience = 20 * time.Second
	}
	s.open(t)
	t.Cleanup(func() { s.w.Close() })
	return s
}

type suite struct {
	Harness
	w workload.Workload
}

func (s *suite) open(t *testing.T) {
	t.Helper()
	s.w = s.Open(t)
}

func (s *suite) reopen(t *testing.T) {
	t.Helper()
	if err := s.w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s.open(t)
}

func (s *suite) releaser(t *testing.T) workload.Releaser {
	t.Helper()
	r, ok := s.w.(workload.Releaser)
	if !ok {
		t.Fatal("this workload is not told about runs")
	}
	return r
}

func (s *suite) apply(t *testing.T, want workload.Want) {
	t.Helper()
	if err := s.w.Apply(t.Context(), want); err != nil {
		t.Fatalf("Apply(%+v): %v", want, err)
	}
}

func (s *suite) observe(t *testing.T) workload.Status {
	t.Helper()
	status, err := s.w.Observe(t.Context())
	if err != nil {
		t.Fatalf("Observe: %v", err)
	}
	return status
}

// until applies want as the loop does, every tick, until the status is as
// described.
func (s *suite) until(t *testing.T, want workload.Want, what string, ok func(workload.Status) bool) workload.Status {
	t.Helper()
	deadline := time.Now().Add(s.Patience)
	for {
		s.apply(t, want)
		status := s.observe(t)
		if ok(status) {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so after %v; status %+v", what, s.Patience, status)
		}
		time.Sleep(s.Patience / 1000)
	}
}

// settled waits until the wanted capacities are there, and no more instances
// than that.
func (s *suite) settled(t *testing.T, want workload.Want) workload.Status {
	t.Helper()
	return s.until(t, want, "wanted capacity", func(st workload.Status) bool {
		return fits(st.Stable, want.Stable) && fits(st.Canary, want.Canary)
	})
}

func fits(g workload.Group, percent int) bool {
	if percent == 0 {
		return len(g.Instances) == 0 && g.Capacity == 0
	}
	return g.Capacity >= percent && g.Ready() == len(g.Instances)
}

func same(a, b []rollout.Instance) bool {
	if len(a) != len(b) {
		return false
	}
	urls := map[string]string{}
	for _, i := range a {
		urls[i.Name] = i.URL
	}
	for _, i := range b {
		if url, ok := urls[i.Name]; !ok || url != i.URL {
			return false
		}
	}
	return true
}

var (
	atRest   = workload.Want{Stable: 100}
	both     = workload.Want{Stable: 100, Canary: 100}
	promoted = workload.Want{Canary: 100, Promoted: true}
)

func restsOnStable(t *testing.T, s *suite) {
	st := s.settled(t, atRest)
	if st.Stable.Version != s.Stable || st.Stable.Failed != "" || st.Stable.Restarts != 0 {
		t.Errorf("stable is %+v, want version %s without trouble", st.Stable, s.Stable)
	}
	if len(st.Canary.Instances) != 0 || st.Canary.Capacity != 0 {
		t.Errorf("canary is %+v, want no instance", st.Canary)
	}
}

func isIdempotent(t *testing.T, s *suite) {
	before := s.settled(t, both)
	for range 5 {
		s.apply(t, both)
	}
	after := s.observe(t)
	if !same(before.Stable.Instances, after.Stable.Instances) || !same(before.Canary.Instances, after.Canary.Instances) {
		t.Errorf("instances changed from %+v to %+v", before, after)
	}
}

func sizesCanary(t *testing.T, s *suite) {
	rest := s.settled(t, atRest)
	for _, weight := range []int{5, 50, 100} {
		st := s.settled(t, workload.Want{Stable: 100, Canary: weight})
		if st.Canary.Version != s.Canary {
			t.Errorf("canary is version %q, want %q", st.Canary.Version, s.Canary)
		}
		if !same(st.Stable.Instances, rest.Stable.Instances) {
			t.Errorf("canary at %d %%: stable changed from %+v to %+v", weight, rest.Stable, st.Stable)
		}
		names := map[string]bool{}
		for _, i := range append(append([]rollout.Instance{}, st.Stable.Instances...), st.Canary.Instances...) {
			if names[i.Name] {
				t.Errorf("two instances are called %s", i.Name)
			}
			names[i.Name] = true
		}
	}
}

func removesCanary(t *testing.T, s *suite) {
	st := s.settled(t, both)
	rest := s.settled(t, atRest)
	if !same(st.Stable.Instances, rest.Stable.Instances) {
		t.Errorf("stable changed from %+v to %+v", st.Stable, rest.Stable)
	}
}

func followsReadiness(t *testing.T, s *suite) {
	if s.SetReady == nil {
		t.Skip("readiness cannot be changed here")
	}
	st := s.settled(t, both)
	victim := st.Canary.Instances[0]
	if n, ok := s.w.(workload.Notifier); ok {
		select {
		case <-n.Changed():
		default: // nothing was left over
		}
		defer func() {
			if t.Failed() {
				return
			}
			select {
			case <-n.Changed():
			default:
				t.Error("Changed said nothing of an instance that came and went")
			}
		}()
	}
	s.SetReady(t, victim, false)
	st = s.until(t, both, "victim is unready", func(st workload.Status) bool { return !readyOf(st.Canary, victim.Name) })
	if st.Canary.Capacity >= 100 || st.Canary.Detail == "" {
		t.Errorf("canary is %+v, want less than full capacity and a detail that says why", st.Canary)
	}
	if st.Stable.Capacity != 100 {
		t.Errorf("stable is %+v, want full capacity", st.Stable)
	}
	s.SetReady(t, victim, true)
	s.settled(t, both)
}

func readyOf(g workload.Group, name string) bool {
	for _, i := range g.Instances {
		if i.Name == name {
			return i.Ready
		}
	}
	return false
}

func isTakenOver(t *testing.T, s *suite) {
	before := s.settled(t, both)
	s.reopen(t)
	after := s.settled(t, both)
	if !same(before.Stable.Instances, after.Stable.Instances) || !same(before.Canary.Instances, after.Canary.Instances) {
		t.Errorf("instances changed from %+v to %+v", before, after)
	}
	if after.Stable.Restarts != 0 || after.Canary.Restarts != 0 {
		t.Errorf("instances were restarted: %+v", after)
	}
}

func keepsPromoted(t *testing.T, s *suite) {
	before := s.settled(t, both)
	after := s.settled(t, promoted)
	if !same(before.Canary.Instances, after.Canary.Instances) {
		t.Errorf("the tested instances changed from %+v to %+v", before.Canary, after.Canary)
	}
	if r, ok := s.w.(workload.Releaser); ok && r.Serving().Version != s.Canary {
		t.Errorf("%s serves, want %s", r.Serving().Version, s.Canary)
	}
	s.reopen(t)
	if r, ok := s.w.(workload.Releaser); ok && r.Serving().Version != s.Canary {
		t.Errorf("after a restart %s serves, want %s", r.Serving().Version, s.Canary)
	}
	again := s.settled(t, promoted)
	if !same(before.Canary.Instances, again.Canary.Instances) {
		t.Errorf("after a restart the tested instances changed from %+v to %+v", before.Canary, again.Canary)
	}
}

func staysPromoted(t *testing.T, s *suite) {
	s.settled(t, both)
	before := s.settled(t, promoted)
	for range 3 {
		s.apply(t, promoted)
	}
	after := s.settled(t, promoted)
	if !same(before.Canary.Instances, after.Canary.Instances) {
		t.Errorf("the tested instances changed from %+v to %+v", before.Canary, after.Canary)
	}
	if after.Superseded != "" {
		t.Errorf("a run that is promoted is superseded: %s", after.Superseded)
	}
}

func endsPromoted(t *testing.T, s *suite) {
	r := s.releaser(t)
	before := s.settled(t, both)
	s.settled(t, promoted)
	if err := r.EndRun(true); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	// A tick of the run that is late must not hurt what serves now.
	s.apply(t, promoted)
	check := func(when string) {
		t.Helper()
		st := s.settled(t, atRest)
		if st.Stable.Version != s.Canary || !same(st.Stable.Instances, before.Canary.Instances) {
			t.Errorf("%s: stable is %+v, want the tested instances %+v", when, st.Stable, before.Canary)
		}
		if len(st.Canary.Instances) != 0 {
			t.Errorf("%s: canary is %+v, want none", when, st.Canary)
		}
	}
	check("after the run")
	if err := r.EndRun(true); err != nil {
		t.Errorf("EndRun again: %v", err)
	}
	check("after EndRun again")
	s.reopen(t)
	check("after a restart")
}

func endsRolledBack(t *testing.T, s *suite) {
	r := s.releaser(t)
	before := s.settled(t, both)
	s.settled(t, atRest)
	if err := r.EndRun(false); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	s.reopen(t)
	st := s.settled(t, atRest)
	if st.Stable.Version != s.Stable || !same(st.Stable.Instances, before.Stable.Instances) {
		t.Errorf("stable is %+v, want %+v", st.Stable, before.Stable)
	}
}

func runsAgain(t *testing.T, s *suite) {
	s.releaser(t)
	s.settled(t, both)
	s.settled(t, promoted)
	if err := s.releaser(t).EndRun(true); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	s.settled(t, atRest)
	if err := s.releaser(t).BeginRun(s.Next); err != nil {
		t.Fatalf("BeginRun: %v", err)
	}
	s.settled(t, workload.Want{Stable: 100, Canary: 5})
	s.reopen(t)
	if err := s.releaser(t).BeginRun(s.Next); err != nil {
		t.Fatalf("BeginRun again, after a restart: %v", err)
	}
	st := s.settled(t, both)
	if st.Stable.Version != s.Canary || st.Canary.Version != s.Next.Version {
		t.Errorf("stable %s and canary %s, want %s and %s", st.Stable.Version, st.Canary.Version, s.Canary, s.Next.Version)
	}
	s.settled(t, promoted)
	if err := s.releaser(t).EndRun(true); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	if st := s.settled(t, atRest); st.Stable.Version != s.Next.Version {
		t.Errorf("stable is %s, want %s", st.Stable.Version, s.Next.Version)
	}
	// What was rolled back or replaced may be tried again.
	if err := s.releaser(t).EndRun(false); err != nil {
		t.Errorf("EndRun without a run: %v", err)
	}
}

func refusesRuns(t *testing.T, s *suite) {
	r := s.releaser(t)
	serving := r.Serving()
	if serving.Version != s.Stable {
		t.Fatalf("%s serves, want %s", serving.Version, s.Stable)
	}
	if err := r.BeginRun(serving); !errors.Is(err, workload.ErrServing) {
		t.Errorf("releasing what serves: %v, want ErrServing", err)
	}
	if err := r.BeginRun(workload.Version{Version: "nothing-to-run"}); !errors.Is(err, workload.ErrRefused) {
		t.Errorf("releasing a version without any way to run it: %v, want ErrRefused", err)
	}
	if err := r.BeginRun(s.Next); err != nil {
		t.Fatalf("BeginRun: %v", err)
	}
	if err := r.BeginRun(s.Next); err != nil {
		t.Errorf("BeginRun of the same again: %v, want nil", err)
	}
	other := s.Next
	other.Version += "-other"
	if err := r.BeginRun(other); !errors.Is(err, workload.ErrRefused) {
		t.Errorf("BeginRun of another during the run: %v, want ErrRefused", err)
	}
	if err := r.EndRun(false); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	if err := r.BeginRun(s.Next); err != nil {
		t.Errorf("BeginRun once the other run has ended: %v, want nil", err)
	}
}

func refusesNoCandidate(t *testing.T, s *suite) {
	r := s.releaser(t)
	before := s.settled(t, atRest)
	if err := r.EndRun(false); err != nil {
		t.Fatalf("EndRun: %v", err)
	}
	if err := s.w.Apply(t.Context(), workload.Want{Stable: 100, Canary: 5}); !errors.Is(err, workload.ErrRefused) {
		t.Errorf("Apply with a canary and no candidate: %v, want ErrRefused", err)
	}
	if st := s.observe(t); !same(st.Stable.Instances, before.Stable.Instances) || st.Stable.Capacity != 100 {
		t.Errorf("stable is %+v, want %+v", st.Stable, before.Stable)
	}
}
