package httpgate_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/gate/gatetest"
	httpgate "serin.dev/serin/internal/gate/http"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/test/plane/ports"
)

// serve starts a server on loopback that ends with the test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func hanging(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client leave
	<-r.Context().Done()
}

func flooding(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusInternalServerError)
	for range 10 << 10 {
		if _, err := w.Write(bytes.Repeat([]byte("é"), 512)); err != nil {
			return
		}
	}
}

// echoing answers with everything it was told.
func echoing(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusTeapot)
	for range 200 {
		_, _ = io.WriteString(w, r.URL.String()+" "+r.URL.Path+"\n")
		for name, values := range r.Header {
			_, _ = io.WriteString(w, name+": "+values[0]+"\n")
		}
		_, _ = w.Write(body)
	}
}

// closed returns the URL of a server that is not there.
func closed(t *testing.T) string {
	t.Helper()
	return "http://" + ports.Keep(t)
}

func canary(urls ...string) gate.Call {
	c := gate.Call{Key: "k1", Rollout: "shop", Run: "run-7", Name: "checkout", Phase: 1, Weight: 5, StableVersion: "v1", CanaryVersion: "v2"}
	for i, u := range urls {
		c.Canary = append(c.Canary, rollout.Instance{Name: "canary-" + string(rune('a'+i)), URL: u, Ready: true})
	}
	return c
}

func newTest(t *testing.T, cfg httpgate.TestConfig) *httpgate.Test {
	t.Helper()
	g, err := httpgate.NewTest(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newHook(t *testing.T, cfg httpgate.HookConfig) *httpgate.Hook {
	t.Helper()
	g, err := httpgate.NewHook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func text(s string) credential.Value { return credential.Value{Text: s} }

func env(t *testing.T, name, value string) credential.Value {
	t.Helper()
	t.Setenv(name, value)
	return credential.Value{Ref: credential.Ref{Env: name}}
}

func run(t *testing.T, g gate.Gate, c gate.Call) gate.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return g.Run(ctx, c)
}

func TestTestConformance(t *testing.T) {
	at := func(server func(t *testing.T) string) func(*testing.T) gatetest.Case {
		return func(t *testing.T) gatetest.Case {
			return gatetest.Case{Gate: newTest(t, httpgate.TestConfig{Path: "/healthz"}), Call: canary(server(t))}
		}
	}
	serving := func(h http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string { return serve(t, h) }
	}
	gatetest.Run(t, gatetest.Harness{
		Passing:     at(serving(answering(200, "ok"))),
		Failing:     at(serving(answering(500, "broken"))),
		Unreachable: at(closed),
		Hanging:     at(serving(hanging)),
		Flooding:    at(serving(flooding)),
		Leaky: func(t *testing.T, secret string) map[string]gatetest.Case {
			headers := map[string]credential.Value{"Authorization": env(t, "TEST_HEADER", "Bearer "+secret)}
			cfg := httpgate.TestConfig{Path: "/", Headers: headers}
			matching := cfg
			matching.Expect = httpgate.Expect{Status: []int{418}, Body: "never there"}
			secretURL := func(url string) *httpgate.Test {
				name := "TEST_URL_" + url[len(url)-4:]
				return newTest(t, httpgate.TestConfig{URL: env(t, name, url+"/x/"+secret+"?key="+secret), Headers: headers})
			}
			return map[string]gatetest.Case{
				"wrong status":             {Gate: newTest(t, cfg), Call: canary(serve(t, echoing))},
				"wrong body":               {Gate: newTest(t, matching), Call: canary(serve(t, echoing))},
				"refused":                  {Gate: newTest(t, cfg), Call: canary(closed(t))},
				"timeout":                  {Gate: newTest(t, cfg), Call: canary(serve(t, hanging))},
				"wrong status, secret URL": {Gate: secretURL(serve(t, echoing))},
				"refused, secret URL":      {Gate: secretURL(closed(t))},
				"timeout, secret URL":      {Gate: secretURL(serve(t, hanging))},
				"no such host, secret URL": {Gate: newTest(t, httpgate.TestConfig{URL: env(t, "TEST_NOHOST", "http://nowhere.invalid/"+secret)})},
				"not a URL":                {Gate: newTest(t, httpgate.TestConfig{URL: env(t, "TEST_NOURL", "http://%zz"+secret)})},
			}
		},
	})
}

func TestHookConformance(t *testing.T) {
	at := func(server func(t *testing.T) string) func(*testing.T) gatetest.Case {
		return func(t *testing.T) gatetest.Case {
			return gatetest.Case{Gate: newHook(t, httpgate.HookConfig{URL: text(server(t) + "/hook")}), Call: canary()}
		}
	}
	serving := func(h http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string { return serve(t, h) }
	}
	gatetest.Run(t, gatetest.Harness{
		Passing:     at(serving(answering(204, ""))),
		Failing:     at(serving(answering(403, "no"))),
		Unreachable: at(closed),
		Hanging:     at(serving(hanging)),
		Flooding:    at(serving(flooding)),
		Leaky: func(t *testing.T, secret string) map[string]gatetest.Case {
			t.Setenv("HOOK_KEY", secret)
			leaky := func(url string) gatetest.Case {
				name := "HOOK_URL_" + url[len(url)-4:]
				return gatetest.Case{Call: canary(), Gate: newHook(t, httpgate.HookConfig{
					URL:     env(t, name, url+"/services/"+secret+"?sig="+secret),
					Headers: map[string]credential.Value{"X-Api-Key": {Ref: credential.Ref{Env: "HOOK_KEY"}}},
					HMAC:    &credential.HMAC{Secret: credential.Ref{Env: "HOOK_KEY"}},
				})}
			}
			return map[string]gatetest.Case{
				"wrong status": leaky(serve(t, echoing)),
				"refused":      leaky(closed(t)),
				"timeout":      leaky(serve(t, hanging)),
				"no such host": leaky("http://nowhere.invalid:1234"),
			}
		},
	})
}

// recorded collects the requests that a server gets.
type recorded struct {
	mu       sync.Mutex
	requests []request
}

type request struct {
	*http.Request
	body []byte
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request{req, body})
}

func (r *recorded) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}
