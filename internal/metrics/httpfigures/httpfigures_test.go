package httpfigures_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/metrics/httpfigures"
	"serin.dev/serin/internal/rollout"
)

// endpoint answers what it was last told to.
type endpoint struct {
	url    string
	answer atomic.Value
}

func serve(t *testing.T) *endpoint {
	e := &endpoint{}
	e.answer.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := e.answer.Load().(string)
		if text == "broken" {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func open(t *testing.T, url string) *httpfigures.Source {
	t.Helper()
	cfg := *httpfigures.NewConfig().(*httpfigures.Config)
	cfg.URL = credential.Value{Text: url}
	s, err := httpfigures.New(cfg, httpfigures.Env{Versions: func(context.Context) (map[rollout.Arm]string, error) {
		return map[rollout.Arm]string{rollout.Stable: "v1", rollout.Canary: "v2"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestFiguresAreWhatWasCountedSince(t *testing.T) {
	e := serve(t)
	s := open(t, e.url)
	for _, step := range []struct{ why, answer, stable, canary string }{
		{
			"the first answer is where counting begins",
			`{"versions":{"v1":{"business":{"conversion":{"trials":1000,"successes":100}},"complaints":7}}}`, "null", "null",
		},
		{
			"a version that comes later is counted from zero",
			`{"versions":{"v1":{"business":{"conversion":{"trials":1090,"successes":110}},"complaints":8},"v2":{"business":{"conversion":{"trials":5,"successes":1}},"complaints":0}}}`,
			`{"business":{"conversion":{"trials":90,"successes":10}},"complaints":1}`, `{"business":{"conversion":{"trials":5,"successes":1}},"complaints":0}`,
		},
		{
			"a counter that is lower began anew",
			`{"versions":{"v1":{"business":{"conversion":{"trials":40,"successes":4}},"complaints":2},"v2":{"business":{"conversion":{"trials":6,"successes":1}},"complaints":0}}}`,
			`{"business":{"conversion":{"trials":40,"successes":4}},"complaints":2}`, `{"business":{"conversion":{"trials":1,"successes":0}},"complaints":0}`,
		},
		{
			"successes that came before their trials wait",
			`{"versions":{"v1":{"business":{"conversion":{"trials":41,"successes":9}}},"v2":{"business":{}}}}`,
			`{"business":{"conversion":{"trials":1,"successes":1}}}`, `{}`,
		},
		{
			"and come with the next",
			`{"versions":{"v1":{"business":{"conversion":{"trials":51,"successes":9}}},"v2":{"business":{}}}}`,
			`{"business":{"conversion":{"trials":10,"successes":4}}}`, `{}`,
		},
		{"an endpoint that fails loses nothing", "broken", "null", "null"},
		{
			"what it counted meanwhile comes later, values and scores too",
			`{"versions":{"v1":{"business":{"basket":{"count":2,"sum":30,"sumSquares":500},"stars":{"count":3,"sum":12,"max":5}}},"v2":{}}}`,
			`{"business":{"basket":{"count":2,"sum":30,"sumSquares":500},"stars":{"count":3,"sum":12,"max":5}}}`, `{}`,
		},
	} {
		e.answer.Store(step.answer)
		arms, err := s.Collect(t.Context(), time.Time{}, time.Now())
		if (err != nil) != (step.answer == "broken") {
			t.Fatalf("%s: %v", step.why, err)
		}
		for want, sample := range map[string]*rollout.Sample{step.stable: arms.Stable, step.canary: arms.Canary} {
			got, _ := json.Marshal(sample)
			if string(got) != want {
				t.Errorf("%s: %s, want %s", step.why, got, want)
			}
		}
	}
}

func TestAWrongAnswerSaysWhatToWrite(t *testing.T) {
	e := serve(t)
	for answer, want := range map[string]string{
		"":                                      "EOF",
		"<html>":                                `write {"versions"`,
		`{"v1":{}}`:                             `unknown field "v1"`,
		`{}`:                                    "has no versions",
		`{"versions":{}} more`:                  "goes on after its end",
		`{"versions":{"v1":{"complaints":-1}}}`: "complaints of version",
		`{"versions":{"v1":{"business":{"conversion":{"trials":1e999}}}}}`:            `write {"versions"`,
		`{"versions":{"v1":{"business":{"conversion":{"trails":1}}}}}`:                `unknown field "trails"`,
		`{"versions":{"v1":{"business":{"conversion":{"trials":-3,"successes":0}}}}}`: "trials of",
		`{"versions":{"v1":` + strings.Repeat(" ", 2<<20) + `{}}}`:                    "larger than allowed",
		"broken": "answered 500",
	} {
		e.answer.Store(answer)
		_, err := open(t, e.url).Collect(t.Context(), time.Time{}, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q in it", answer, err, want)
		}
	}
}

func TestASlowEndpointIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); server.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := open(t, server.URL).Collect(ctx, time.Time{}, time.Now()); err == nil {
		t.Error("no error")
	}
}
