package app

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/workload"
)

// opened opens a program with a rollout whose stable version answers, at a port, over
// a store that the test stands before unless that is nil. canary is a line of its
// workload, rest are lines of its spec; PORT in them is the port.
func opened(t *testing.T, before func(store.Store) store.Store, canary, rest string) (p *program, h *home, port string) {
	t.Helper()
	answer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(answer.Close)
	_, port, err := net.SplitHostPort(answer.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join([]string{`apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    endpoints:
      stable: {version: v1, urls: ["http://127.0.0.1:PORT"]}`, canary, `  traffic: {proxy: {listen: "127.0.0.1:0"}}
  plan: {phases: [{weight: 25, duration: 1h}], drain: 1s}`, rest, ""}, "\n")
	state := t.TempDir()
	file := filepath.Join(state, "shop.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "PORT", port)), 0o600); err != nil {
		t.Fatal(err)
	}
	rollouts, _, err := ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = openProgram(Options{State: filepath.Join(state, "state")}); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		p.store = before(p.store)
	}
	if h, err = p.add(*rollouts[0], file, inherited{}); err != nil {
		t.Fatal(err)
	}
	return p, h, port
}

// misled opens a program with a rollout whose workload is at another version than
// its run, and whose hook cannot be built.
func misled(t *testing.T, status engine.Status) (*program, *home, store.Run) {
	t.Helper()
	p, h, port := opened(t, nil, "", `  hooks: [{name: tell, at: onRollback, http: {url: "http://127.0.0.1:1/"}}]
  notify: [{name: team, cloudevents: {url: "http://127.0.0.1:1/"}}]`)
	version := func(name string) workload.Version {
		return workload.Version{Version: name, URLs: []string{"http://localhost:" + port}}
	}
	// The workload is at another version than the run in the store is about.
	if err := h.parts.Workload.BeginRun(version("v3")); err != nil {
		t.Fatal(err)
	}
	candidate, err := json.Marshal(version("v2"))
	if err != nil {
		t.Fatal(err)
	}
	spec := h.rollout
	spec.Spec.Hooks[0].Kind = "carrierPigeon" // as a newer program knows it
	plan := engine.PlanOf(spec.Spec)
	run := store.Run{
		ID: "shop-1", Rollout: "shop", Spec: spec, Plan: plan, StableVersion: "v1", CanaryVersion: "v2",
		Candidate: candidate, StartedAt: time.Now(), State: engine.Start(plan),
	}
	run.State.Status, run.State.CanaryAsked, run.State.At, run.State.Seen = status, true, time.Now(), 25
	lines, _, err := beginning(run, run.StartedAt)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.store.Create(t.Context(), run, lines, nil); err != nil {
		t.Fatal(err)
	}
	return p, h, run
}

// A run's canary cannot be begun, however often that is tried, and a hook cannot
// be built: the canary gets no traffic, a person's rollback is heard and carried
// out, and the next release is a run like any other.
func TestARunThatCannotBeBegunHearsARollback(t *testing.T) {
	p, h, run := misled(t, engine.Progressing)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.serve(ctx)
	}()
	defer func() {
		stop()
		<-ended
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	eventually := func(what string, holds func() bool) {
		t.Helper()
		for begun := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	weight := func() int {
		o, err := h.parts.Router.Observe(t.Context())
		if err != nil || !o.Known {
			return -1
		}
		return o.Weight
	}
	eventually("the canary to have no traffic", func() bool { return weight() == 0 })
	if err := p.store.AddIntent(t.Context(), run.ID, rollout.Intent{ID: "i1", Kind: rollout.Rollback, Actor: "ana", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	p.Wake(run.ID)
	eventually("the rollback", func() bool {
		stored, err := p.store.Load(t.Context(), run.ID)
		return err == nil && stored.State.Status == engine.RolledBack && stored.Archived
	})
	if s, err := h.parts.Workload.Observe(t.Context()); err != nil || s.Stable.Version != "v1" || s.Canary.Version != "" {
		t.Errorf("the workload is left at %+v (%v)", s, err)
	}
}

// A promotion that cannot be gone on with is left as it is, and people are told so,
// once however often it is tried.
func TestAPromotionThatIsStuckIsTold(t *testing.T) {
	p, h, _ := misled(t, engine.Promoting)
	defer p.close()
	for range 3 {
		run, err := h.active(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.carry(t.Context(), run); err == nil {
			t.Error("the run is carried")
		}
	}
	due, err := p.store.Due(t.Context(), time.Now().Add(time.Hour), 0)
	if err != nil || len(due) != 1 {
		t.Fatalf("people are told %+v (%v), want one message", due, err)
	}
	if m := due[0].Message; m.Event != rollout.Held || !strings.Contains(m.Text, "the promotion of v2 cannot be gone on with") || !strings.Contains(m.Text, "v3") {
		t.Errorf("people are told %+v", m)
	}
}

// Who asks something of a promotion that is stuck is answered: that it cannot be
// done, and why.
func TestAPromotionThatIsStuckAnswers(t *testing.T) {
	p, h, run := misled(t, engine.Promoting)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&daemon{program: p}).keep(ctx, h)
	}()
	defer func() {
		stop()
		<-ended
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	c := server.NewClient(server.InProcess(server.New(p, "test"), "ana"))
	defer c.Close()
	for _, kind := range []rollout.IntentKind{rollout.Rollback, rollout.Pause} {
		said, err := c.Ask(t.Context(), run.ID, server.IntentRequest{Intent: kind})
		if err != nil || !said.Answered || said.Accepted || !strings.Contains(said.Message, "the promotion of v2 can neither be gone on with nor be taken back") || !strings.Contains(said.Message, "v3") {
			t.Errorf("%s is answered with %+v (%v), want a refusal that says why", kind, said, err)
		}
	}
}
