package machine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// secret signs the calls of these tests.
const secret = "correct-horse-battery-staple"

// receiver takes messages and calls, and checks their signatures.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	calls []call
	// refuse is how many calls are answered with 503 first.
	refuse int
}

// call is one call that came in.
type call struct {
	path string
	id   string // of a CloudEvent
	key  string // of a hook
	kind string // of a CloudEvent
	body map[string]any
	at   time.Time
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t}
	quit := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/hangs", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		select {
		case <-req.Context().Done():
		case <-quit:
		}
	})
	mux.HandleFunc("/", r.take)
	r.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(quit)
		r.Close()
	})
	return r
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	data, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		r.t.Errorf("read a call: %v", err)
	}
	if why := forged(req.Header.Get("Serin-Signature"), data); why != "" {
		r.t.Errorf("%s: %s", req.URL.Path, why)
	}
	c := call{path: req.URL.Path, id: req.Header.Get("Ce-Id"), kind: req.Header.Get("Ce-Type"), key: req.Header.Get("Serin-Idempotency-Key"), at: time.Now()}
	if err := json.Unmarshal(data, &c.body); err != nil {
		r.t.Errorf("%s: %v in %s", req.URL.Path, err, data)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse > 0 {
		r.refuse--
		http.Error(w, "come back later", http.StatusServiceUnavailable)
		return
	}
	r.calls = append(r.calls, c)
}

// forged says what is wrong with a signature; nothing when it is good.
func forged(signature string, body []byte) string {
	var at int64
	var sum string
	if _, err := fmt.Sscanf(signature, "t=%d,v1=%s", &at, &sum); err != nil {
		return fmt.Sprintf("the signature %q cannot be read: %v", signature, err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at, body)
	got, err := hex.DecodeString(sum)
	if err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return "the signature does not fit the body"
	}
	if age := time.Since(time.Unix(at, 0)); age > time.Minute || age < -time.Minute {
		return fmt.Sprintf("the signature is %s old", age)
	}
	return ""
}

// at returns the calls to a path so far.
func (r *receiver) at(path string) []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []call
	for _, c := range r.calls {
		if c.path == path {
			out = append(out, c)
		}
	}
	return out
}

// withSecret puts the secret where the rollout's file says it is.
func (h *home) withSecret() string {
	h.t.Helper()
	h.env = append(h.env, "DEPLOY_KEY="+secret)
	return "{env: DEPLOY_KEY}"
}

// nowhereTold asserts that the secret is in no file of the state folder and in
// nothing the program wrote.
func (h *home) nowhereTold(p *program) {
	h.t.Helper()
	if strings.Contains(p.err.String()+p.out.String(), secret) {
		h.t.Error("the program told the secret")
	}
	err := filepath.WalkDir(h.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), secret) {
			h.t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}

func TestPeopleAndHooksAreTold(t *testing.T) {
	h := newHome(t)
	r := newReceiver(t)
	r.refuse = 2
	key := h.withSecret()
	h.write(plan{extra: fmt.Sprintf(`hooks:
- {name: freeze, at: beforeCanary, http: {url: "%[1]s/before-canary", hmac: {secret: %[2]s}}, retries: 3}
- {name: announce, at: beforePhase, http: {url: "%[1]s/before-phase", hmac: {secret: %[2]s}}, retries: 3}
- {name: stamp, at: beforePromote, command: {argv: [touch, "stamped-$(VERSION)"]}}
- {name: thaw, at: afterPromote, http: {url: "%[1]s/after-promote", hmac: {secret: %[2]s}}, retries: 3}
- {name: never, at: onRollback, http: {url: "%[1]s/on-rollback", hmac: {secret: %[2]s}}}
notify:
- {name: ops, cloudevents: {url: "%[1]s/ops", hmac: {secret: %[2]s}}}
- {name: only-the-end, events: [promoted, rolledBack], cloudevents: {url: "%[1]s/end", hmac: {secret: %[2]s}}}
tests:
- {name: smoke, interval: 250ms, timeout: 200ms, failures: 20, http: {path: /, expect: {status: [200], body: "hello from v2"}}}`, r.URL, key)})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.endsUnseen(v, 0)

	for path, n := range map[string]int{"/before-canary": 1, "/before-phase": 2, "/after-promote": 1, "/on-rollback": 0, "/end": 1} {
		if got := len(r.at(path)); got != n {
			t.Errorf("%s was called %d times, not %d", path, got, n)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(h.file), "stamped-v2")); err != nil {
		t.Errorf("the command hook has not run: %v", err)
	}
	var told, ids []string
	for _, c := range r.at("/ops") {
		told = append(told, c.kind)
		if slices.Contains(ids, c.id) {
			t.Errorf("message %s came twice", c.id)
		}
		ids = append(ids, c.id)
		if c.body["rollout"] != "shop" || c.body["text"] == "" {
			t.Errorf("a message says %v", c.body)
		}
	}
	slices.Sort(told)
	if want := []string{"dev.serin.run.phase.v1", "dev.serin.run.phase.v1", "dev.serin.run.promoted.v1", "dev.serin.run.started.v1"}; !slices.Equal(told, want) {
		t.Errorf("the operators were told %v", told)
	}
	h.nowhereTold(run)
	dir := h.archivedRun()
	h.replays(dir)
	gates := map[string]bool{}
	delivered := 0
	for _, l := range recordOf(t, dir) {
		if l.Notification != "" && l.Delivered {
			delivered++
		}
		if l.Gate != "" && l.Passed {
			gates[l.Gate] = true
		}
	}
	if want := len(r.at("/ops")) + len(r.at("/end")); delivered != want {
		t.Errorf("the archived record holds %d messages that were delivered, and %d were", delivered, want)
	}
	for _, name := range []string{"freeze", "announce", "stamp", "thaw", "smoke"} {
		if !gates[name] {
			t.Errorf("the record does not hold that %s passed: %v", name, gates)
		}
	}
}

// A receiver and a hook that never answer delay neither the weight nor the end
// beyond the hook's own bound.
func TestNobodyWhoHangsDelaysARollback(t *testing.T) {
	h := newHome(t)
	r := newReceiver(t)
	key := h.withSecret()
	h.write(plan{canary: "-errors 0.5", phases: "[{weight: 50, duration: 10m}]", extra: fmt.Sprintf(`hooks:
- {name: hangs, at: onRollback, timeout: 5s, http: {url: "%[1]s/hangs"}}
notify:
- {name: hangs, cloudevents: {url: "%[1]s/hangs"}}
- {name: ops, cloudevents: {url: "%[1]s/ops", hmac: {secret: %[2]s}}}`, r.URL, key)})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	back := run.says("rollback, weight 0 %")
	ended := run.says("rolled back after")
	run.endsUnseen(v, 2)
	// The weight does not wait for the hook: a starved machine is slow, and not as
	// slow as that.
	if late := v.lastOf("v2").Sub(back); late > 2*time.Second {
		t.Errorf("the canary was still asked %s after the rollback was told", late)
	}
	if took := ended.Sub(back); took < 4*time.Second || took > 25*time.Second {
		t.Errorf("the run ended %s after its rollback, with a hook bound to 5s", took)
	}
	eventually(t, "the receiver that answers to know of the rollback", func() bool {
		return slices.ContainsFunc(r.at("/ops"), func(c call) bool { return c.kind == "dev.serin.run.rolledBack.v1" })
	})
	for _, c := range r.at("/ops") {
		if c.kind != "dev.serin.run.rolledBack.v1" {
			continue
		}
		if text := fmt.Sprint(c.body["text"]); !strings.Contains(text, "v2 is rolled back") || !strings.Contains(text, "error") {
			t.Errorf("the operators read %q", text)
		}
		if c.at.After(ended) {
			t.Errorf("they were told %s after the end", c.at.Sub(ended))
		}
	}
	h.nothingRuns()
	h.replays(h.archivedRun())
}

// A hook that fails before the canary keeps it from being started.
func TestAHookThatFailsBeforeTheCanaryEndsTheRun(t *testing.T) {
	h := newHome(t)
	h.write(plan{extra: `hooks:
- {name: migrate, at: beforeCanary, onFailure: rollback, command: {argv: [sh, -c, "echo table is locked; exit 3"]}}`})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.endsUnseen(v, 2)
	if n := count(v.seen(time.Time{}, time.Time{}), "v2"); n > 0 {
		t.Errorf("the canary answered %d requests", n)
	}
	if text := run.err.String(); !strings.Contains(text, "migrate") || !strings.Contains(text, "3") {
		t.Errorf("it does not say which hook failed and how:\n%s", text)
	}
}

// A continuous test that fails rolls back although no user has seen an error.
func TestAContinuousTestThatFailsRollsBack(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 10m}]", extra: `tests:
- {name: contract, interval: 250ms, timeout: 200ms, failures: 3, onFailure: rollback, http: {path: /, expect: {body: "hello from v1"}}}`})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.endsUnseen(v, 2)
	if !strings.Contains(run.err.String(), `test "contract" failed 3 times in a row`) {
		t.Errorf("it does not say which test failed:\n%s", run.err)
	}
	h.replays(h.archivedRun())
}
