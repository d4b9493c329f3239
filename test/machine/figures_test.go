package machine

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// writeUse writes a rollout with four instances that is judged by what they
// use.
func (h *home) writeUse(stable, canary, check string) {
	h.writeFile(fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    process:
      replicas: 4
      stable: {version: v1, command: %s}
      canary: {version: v2, command: %s}
      readiness: {path: /healthz, interval: 250ms}
      stop: {grace: 5s}
  traffic: {proxy: {listen: %q}}
  plan: {phases: [{weight: 50, duration: 2m}], drain: 5s}
  analysis:
    interval: 1s
    checks: [{name: errors, type: errorRate}, %s]
`, h.command("v1", stable), h.command("v2", canary), h.addr, check))
}

func TestAVersionThatUsesMoreIsRolledBack(t *testing.T) {
	for _, c := range []struct{ name, stable, canary, check, says string }{
		{"processor time", "-burn=3000", "-burn=12000", "{name: cpu, type: cpu}", "processor time"},
		{"memory", "-keep=1000", "-keep=120000", "{name: memory, type: memory}", "memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			h.writeUse(c.stable, c.canary, c.check)
			run := h.start("run", "-f", h.file)
			v := visit(t, h.addr)
			run.says("rolled back after")
			v.stop()
			run.wants(2)
			if out := h.must("report", "shop"); !strings.Contains(out, c.says) {
				t.Errorf("the report does not say what was used:\n%s", out)
			}
			h.replays(h.archivedRun())
		})
	}
}

// orders counts, as a shop's own program would, what the two versions sell.
type orders struct {
	mu    sync.Mutex
	asked float64
}

func (o *orders) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	fmt.Fprintf(w, `{"versions": {
		"v1": {"business": {"conversion": {"trials": %v, "successes": %v}}, "complaints": 0},
		"v2": {"business": {"conversion": {"trials": %v, "successes": %v}}, "complaints": 0}}}`,
		1000*o.asked, 100*o.asked, 1000*o.asked, 60*o.asked)
}

func TestAVersionThatSellsLessIsRolledBack(t *testing.T) {
	h := newHome(t)
	figures := httptest.NewServer(&orders{})
	t.Cleanup(figures.Close)
	h.write(plan{
		phases: "[{weight: 50, duration: 1m}]",
		checks: fmt.Sprintf(`
    - {name: errors, type: errorRate}
    - {name: conversion, type: business}
    business: {http: {url: %q}}`, figures.URL),
	})
	run := h.start("run", "-f", h.file)
	v := visit(t, h.addr)
	run.says("rolled back after")
	v.stop()
	run.wants(2)
	if out := h.must("report", "shop"); !strings.Contains(out, "conversion 0.60x stable") {
		t.Errorf("the report does not say what was sold:\n%s", out)
	}
	h.replays(h.archivedRun())
}

func TestComplaintsRollBack(t *testing.T) {
	h := newHome(t)
	h.write(plan{
		phases: "[{weight: 5, duration: 2m}]",
		checks: "[{name: errors, type: errorRate}, {name: complaints, type: complaints}]",
	})
	run := h.start("run", "-f", h.file)
	v := visit(t, h.addr)
	run.says("weight 5 %")
	v.sees("v2")
	if a := h.asks("complain", "shop", "slow", "today"); !strings.Contains(a.Message, "not judged") {
		t.Errorf("a complaint about nobody knows which version: %s", a.Message)
	}
	if a := h.asks("complain", "shop", "--version", "v2", "the basket is empty after paying"); !strings.Contains(a.Message, "counts against the canary") {
		t.Errorf("a complaint about the canary: %s", a.Message)
	}
	if code, _, errs := h.serin("complain", "shop", "--version", "v9", "no"); code == 0 || !strings.Contains(errs, "v1, v2") {
		t.Errorf("a version that does not run: exit %d, %s", code, errs)
	}
	if out := h.must("describe", "shop"); !strings.Contains(out, "1 about the canary, 0 about stable, 1 with the version not known") {
		t.Errorf("describe does not count them:\n%s", out)
	}
	// People go on complaining, one after another: all at once may be one angry
	// person, and proves less. The run is rolled back by one of them.
	for range 60 {
		if code, _, _ := h.serin("complain", "shop", "--arm", "canary", "cannot log in"); code != 0 {
			break
		}
		time.Sleep(time.Second)
	}
	run.says("rolled back after")
	v.stop()
	run.wants(2)
	out := h.must("report", "shop")
	for _, want := range []string{"the basket is empty after paying", "slow today", "complaints"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	dir := h.archivedRun()
	if record := holds(t, dir, "record.jsonl"); !strings.Contains(record, `"intent":"complain"`) {
		t.Errorf("%s has no complaint", filepath.Join(dir, "record.jsonl"))
	}
	h.replays(dir)
}
