package httpgate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/rollout"
)

// atOnce is how many instances are asked at the same time.
const atOnce = 8

// Test asks every instance of the canary, or one URL.
type Test struct {
	cfg    TestConfig
	expect expectation
	client *http.Client
}

var _ gate.Gate = (*Test)(nil)

// NewTest returns the gate of a test; it asks nothing yet.
func NewTest(cfg TestConfig) (*Test, error) {
	if err := firstError("test", cfg.Validate()); err != nil {
		return nil, err
	}
	expect, err := newExpectation(cfg.Expect)
	if err != nil {
		return nil, fmt.Errorf("http test: %w", err)
	}
	// Instances are asked directly; only other addresses may be behind a proxy.
	client := guarded.NewClient(guarded.Options{Timeout: longest, MaxBody: maxBody, Proxy: !cfg.URL.IsZero()})
	return &Test{cfg: cfg, expect: expect, client: client}, nil
}

// Check says before a run whether the secrets the test needs can be read.
func (t *Test) Check() error {
	for _, target := range t.targets(gate.Call{Canary: []rollout.Instance{{URL: "http://canary.invalid"}}}) {
		if err := target.Check(); err != nil {
			return err
		}
	}
	return nil
}

// target is one address to ask, with the name it has in messages.
type target struct {
	guarded.Target
	name string
}

// targets lists what the test asks.
func (t *Test) targets(c gate.Call) []target {
	if !t.cfg.URL.IsZero() {
		return []target{{guarded.Target{URL: t.cfg.URL, Headers: t.cfg.Headers}, "the URL"}}
	}
	var list []target
	for _, instance := range c.Canary {
		if instance.URL != "" {
			address := credential.Value{Text: strings.TrimRight(instance.URL, "/") + t.cfg.Path}
			list = append(list, target{guarded.Target{URL: address, Headers: t.cfg.Headers}, instance.Name})
		}
	}
	return list
}

// Run implements gate.Gate.
func (t *Test) Run(ctx context.Context, c gate.Call) gate.Result {
	started := time.Now()
	result := t.run(ctx, c)
	result.Took = time.Since(started)
	return result
}

func (t *Test) run(ctx context.Context, c gate.Call) gate.Result {
	targets := t.targets(c)
	if len(targets) == 0 {
		return gate.Result{Message: "not asked: no instance of the canary has an address that can be asked directly"}
	}
	answers := make([]asked, len(targets))
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, target := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = t.ask(ctx, target.Target)
		})
	}
	wg.Wait()
	return t.summary(targets, answers)
}

func (t *Test) ask(ctx context.Context, target guarded.Target) asked {
	req, scrubber, err := target.Request(ctx, t.method(), []byte(t.cfg.Body))
	if err != nil {
		return asked{why: "not asked: " + err.Error()}
	}
	if t.cfg.Body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", contentType(t.cfg.Body))
	}
	return ask(ctx, t.client, req, t.expect, scrubber)
}

func (t *Test) method() string {
	switch {
	case t.cfg.Method != "":
		return t.cfg.Method
	case t.cfg.Body != "":
		return http.MethodPost
	}
	return http.MethodGet
}

func (t *Test) summary(targets []target, answers []asked) gate.Result {
	var unmet []string
	var output string
	var slowest time.Duration
	for i, a := range answers {
		slowest = max(slowest, a.took)
		if a.why == "" {
			continue
		}
		unmet = append(unmet, targets[i].name+": "+a.why)
		if output == "" {
			output = a.output
		}
	}
	what := strings.TrimSpace(t.method() + " " + t.cfg.Path)
	switch {
	case len(unmet) == 0:
		return gate.Result{Passed: true, Message: oneLine(fmt.Sprintf("%s passed in %s", what, round(slowest)))}
	case len(targets) == 1:
		return gate.Result{Message: oneLine(what + ", " + unmet[0]), Output: output}
	}
	return gate.Result{
		Message: oneLine(fmt.Sprintf("%s failed at %d of %d instances; %s", what, len(unmet), len(targets), unmet[0])),
		Output:  output,
	}
}

func contentType(body string) string {
	if json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// firstError turns the first mistake of a configuration into an error.
func firstError(what string, problems []rollout.Problem) error {
	for _, p := range problems {
		if !p.Warning {
			return fmt.Errorf("http %s: %s %s", what, p.Field, p.Message)
		}
	}
	return nil
}
