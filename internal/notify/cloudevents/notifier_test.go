package cloudevents_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/notify/cloudevents"
	"serin.dev/serin/internal/notify/notifytest"
	"serin.dev/serin/test/plane/ports"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func closed(t *testing.T) string {
	t.Helper()
	return "http://" + ports.Keep(t)
}

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func hanging(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func echoing(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		for range 500 {
			fmt.Fprintln(w, r.URL, r.Header, string(body))
		}
	}
}

// receiver takes events as the CloudEvents SDK reads them.
type receiver struct {
	mu      sync.Mutex
	events  []event.Event
	headers []http.Header
	bodies  [][]byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	e, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil || e.Validate() != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.headers, r.bodies = append(r.events, *e), append(r.headers, req.Header), append(r.bodies, body)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, b := range r.bodies {
		list = append(list, string(b))
	}
	return list
}

func text(s string) credential.Value { return credential.Value{Text: s} }

func newNotifier(t *testing.T, cfg cloudevents.Config) *cloudevents.Notifier {
	t.Helper()
	n, err := cloudevents.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func send(n notify.Notifier, m notify.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Send(ctx, m)
}

func TestConformance(t *testing.T) {
	for _, mode := range []cloudevents.Mode{cloudevents.Binary, cloudevents.Structured} {
		at := func(server func(*testing.T) string) func(*testing.T) notify.Notifier {
			return func(t *testing.T) notify.Notifier {
				return newNotifier(t, cloudevents.Config{URL: text(server(t)), Mode: mode})
			}
		}
		serving := func(h http.HandlerFunc) func(*testing.T) string {
			return func(t *testing.T) string { return serve(t, h) }
		}
		t.Run(string(mode), func(t *testing.T) {
			notifytest.Run(t, notifytest.Harness{
				Accepting: func(t *testing.T) (notify.Notifier, func() []string) {
					var r receiver
					return at(serving(r.ServeHTTP))(t), r.texts
				},
				Refusing:    at(serving(answering(http.StatusForbidden))),
				Overloaded:  at(serving(answering(http.StatusServiceUnavailable))),
				Unreachable: at(closed),
				Hanging:     at(serving(hanging)),
				Leaky: func(t *testing.T, secret string) map[string]notify.Notifier {
					t.Setenv("EVENTS_SECRET", secret)
					ref := credential.Ref{Env: "EVENTS_SECRET"}
					leaky := func(name, url string) notify.Notifier {
						t.Setenv("EVENTS_URL_"+name, url+"/in/"+secret+"?sig="+secret)
						return newNotifier(t, cloudevents.Config{
							URL: credential.Value{Ref: credential.Ref{Env: "EVENTS_URL_" + name}}, Mode: mode,
							Headers: map[string]credential.Value{"Authorization": {Ref: ref}}, HMAC: &credential.HMAC{Secret: ref},
						})
					}
					return map[string]notify.Notifier{
						"refused":     leaky("A", serve(t, echoing(400))),
						"overloaded":  leaky("B", serve(t, echoing(503))),
						"hanging":     leaky("C", serve(t, hanging)),
						"not there":   leaky("D", closed(t)),
						"no host":     leaky("E", "http://nowhere.invalid"),
						"not a URL":   leaky("F", "http://%zz"),
						"not http":    leaky("G", "ftp://example.com"),
						"metadata":    leaky("H", "http://169.254.169.254"),
						"redirecting": leaky("I", serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) })),
					}
				},
			})
		})
	}
}

func TestTheEventIsWhatTheGuideSays(t *testing.T) {
	for _, mode := range []cloudevents.Mode{cloudevents.Binary, cloudevents.Structured} {
		t.Run(string(mode), func(t *testing.T) {
			var r receiver
			n := newNotifier(t, cloudevents.Config{URL: text(serve(t, r.ServeHTTP)), Mode: mode, Headers: map[string]credential.Value{"X-Team": text("web")}})
			m := notifytest.Message("m-42")
			m.Rollout = "team a/shop"
			if err := send(n, m); err != nil {
				t.Fatal(err)
			}
			e := r.events[0]
			if e.ID() != "m-42" || e.Type() != "dev.serin.run.rolledBack.v1" || e.Source() != "/rollouts/team%20a%2Fshop" ||
				e.Subject() != "run-7" || !e.Time().Equal(m.At) || e.DataContentType() != "application/json" || e.SpecVersion() != "1.0" {
				t.Errorf("got %s", e)
			}
			var told notify.Message
			if err := json.Unmarshal(e.Data(), &told); err != nil || told != m {
				t.Errorf("told %+v, %v", told, err)
			}
			structured := strings.HasPrefix(r.headers[0].Get("Content-Type"), "application/cloudevents+json")
			if structured != (mode == cloudevents.Structured) || r.headers[0].Get("X-Team") != "web" {
				t.Errorf("headers %v", r.headers[0])
			}
		})
	}
}

func TestTheBodyIsSigned(t *testing.T) {
	t.Setenv("EVENTS_KEY", "a shared key")
	for _, mode := range []cloudevents.Mode{cloudevents.Binary, cloudevents.Structured} {
		var r receiver
		n := newNotifier(t, cloudevents.Config{URL: text(serve(t, r.ServeHTTP)), Mode: mode, HMAC: &credential.HMAC{Secret: credential.Ref{Env: "EVENTS_KEY"}}})
		if err := send(n, notifytest.Message("m1")); err != nil {
			t.Fatal(err)
		}
		at, signature, _ := strings.Cut(strings.TrimPrefix(r.headers[0].Get("Serin-Signature"), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte("a shared key"))
		fmt.Fprintf(mac, "%s.%s", at, r.bodies[0])
		if want := hex.EncodeToString(mac.Sum(nil)); signature != want {
			t.Errorf("%s: signed %q, want %q", mode, signature, want)
		}
	}
}

func TestWhichAnswersAreForGood(t *testing.T) {
	for status, forGood := range map[int]bool{
		301: true, 400: true, 401: true, 404: true, 410: true, 413: true, 415: true,
		408: false, 425: false, 429: false, 500: false, 502: false, 503: false, 504: false,
	} {
		n := newNotifier(t, cloudevents.Config{URL: text(serve(t, answering(status)))})
		err := send(n, notifytest.Message("m1"))
		if err == nil || errors.Is(err, notify.ErrRejected) != forGood || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v, for good should be %v", status, err, forGood)
		}
	}
}

func TestAMissingSecretMayBePutInPlaceLater(t *testing.T) {
	var r receiver
	n := newNotifier(t, cloudevents.Config{URL: text(serve(t, r.ServeHTTP)), HMAC: &credential.HMAC{Secret: credential.Ref{Env: "EVENTS_LATER"}}})
	if err := n.Check(); err == nil {
		t.Error("the missing secret was not found before the run")
	}
	if err := send(n, notifytest.Message("m1")); err == nil || errors.Is(err, notify.ErrRejected) || !strings.Contains(err.Error(), "EVENTS_LATER") {
		t.Errorf("without it: %v", err)
	}
	t.Setenv("EVENTS_LATER", "here now")
	if err := errors.Join(n.Check(), send(n, notifytest.Message("m1"))); err != nil {
		t.Errorf("with it: %v", err)
	}
}

func TestMistakesInTheFileAreNamedByField(t *testing.T) {
	for name, tc := range map[string]struct{ config, field string }{
		"no url":        {`{}`, "url"},
		"secret in url": {`{"url": "https://x.example/?api_key=abc"}`, "url"},
		"secret header": {`{"url": "https://x.example", "headers": {"Authorization": "x"}}`, "headers.Authorization"},
		"bad mode":      {`{"url": "https://x.example", "mode": "batched"}`, "mode"},
		"empty hmac":    {`{"url": "https://x.example", "hmac": {}}`, "hmac.secret"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cloudevents.NewConfig().(*cloudevents.Config)
			if err := json.Unmarshal([]byte(tc.config), cfg); err != nil {
				t.Fatal(err)
			}
			found := cfg.Validate()
			if len(found) != 1 || found[0].Field != tc.field || found[0].Message == "" || found[0].Mend == "" {
				t.Errorf("found %+v, want one at %s", found, tc.field)
			}
		})
	}
}
