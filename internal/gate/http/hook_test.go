package httpgate_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	httpgate "serin.dev/serin/internal/gate/http"
	"serin.dev/serin/internal/rollout"
)

func hookCall() gate.Call {
	c := canary("http://127.0.0.1:9001")
	c.Point, c.Reason = rollout.OnRollback, "errors doubled"
	return c
}

func TestAHookIsToldTheCallAndItsKey(t *testing.T) {
	var got recorded
	g := newHook(t, httpgate.HookConfig{URL: text(serve(t, got.ServeHTTP) + "/cdn"), Headers: map[string]credential.Value{"X-Team": text("web")}})
	for range 2 {
		if r := run(t, g, hookCall()); !r.Passed {
			t.Fatalf("failed: %+v", r)
		}
	}
	for _, req := range got.all() {
		var told gate.Call
		if err := json.Unmarshal(req.body, &told); err != nil {
			t.Fatal(err)
		}
		if told.Run != "run-7" || told.Point != rollout.OnRollback || told.Reason != "errors doubled" || told.CanaryVersion != "v2" || len(told.Canary) != 1 {
			t.Errorf("told %+v", told)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/cdn" || req.Header.Get("Content-Type") != "application/json" ||
			req.Header.Get("X-Team") != "web" || req.Header.Get("Serin-Idempotency-Key") != "k1" || req.Header.Get("Serin-Signature") != "" {
			t.Errorf("asked %s %s with %v", req.Method, req.URL, req.Header)
		}
	}
	if len(got.all()) != 2 {
		t.Errorf("asked %d times", len(got.all()))
	}
}

// verify is the receiver's side, as the guide shows it.
func verify(secret, header string, body []byte, now time.Time) bool {
	t, signature, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	seconds, err := strconv.ParseInt(t, 10, 64)
	if !ok || err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	want, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(mac.Sum(nil), want)
}

func TestTheGuideShowsTheCodeThatIsTestedHere(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "guide", "tests-and-hooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(guide), "```go\n")
	code, _, _ := strings.Cut(rest, "```")
	here, err := os.ReadFile("hook_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !found || code == "" || !strings.Contains(string(here), code) {
		t.Errorf("the guide's code is not the one above:\n%s", code)
	}
}

func TestACallIsSignedSoThatAReceiverCanVerifyIt(t *testing.T) {
	var got recorded
	t.Setenv("CDN_SECRET", "shared between two\n")
	g := newHook(t, httpgate.HookConfig{
		URL:  text(serve(t, got.ServeHTTP)),
		HMAC: &credential.HMAC{Secret: credential.Ref{Env: "CDN_SECRET"}},
	})
	if r := run(t, g, hookCall()); !r.Passed {
		t.Fatalf("failed: %+v", r)
	}
	req := got.all()[0]
	header := req.Header.Get("Serin-Signature")
	if !verify("shared between two", header, req.body, time.Now()) {
		t.Errorf("the signature %q does not verify", header)
	}
	if verify("another", header, req.body, time.Now()) {
		t.Error("the signature verifies with another secret")
	}
	if verify("shared between two", header, append(req.body, ' '), time.Now()) {
		t.Error("the signature verifies for another body")
	}
	if verify("shared between two", header, req.body, time.Now().Add(time.Hour)) {
		t.Error("the signature verifies an hour later")
	}
	verifyWithOpenSSL(t, "shared between two", header, req.body)
}

// verifyWithOpenSSL computes the signature with a program that shares no code
// with Serin, where there is one.
func verifyWithOpenSSL(t *testing.T, secret, header string, body []byte) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("no openssl here; the signature was verified in Go only")
		return
	}
	at, signature, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	cmd := exec.Command(program, "dgst", "-sha256", "-hmac", secret)
	cmd.Stdin = strings.NewReader(at + "." + string(body))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), signature) {
		t.Errorf("openssl says %s, Serin signed %s", out, signature)
	}
}

func TestAHookWithoutItsSecretIsNotCalled(t *testing.T) {
	var got recorded
	g := newHook(t, httpgate.HookConfig{
		URL:  text(serve(t, got.ServeHTTP)),
		HMAC: &credential.HMAC{Secret: credential.Ref{Env: "NOT_SET_AT_ALL"}},
	})
	if r := run(t, g, hookCall()); r.Passed || !strings.Contains(r.Message, "NOT_SET_AT_ALL is not set") {
		t.Errorf("got %+v", r)
	}
	if len(got.all()) != 0 {
		t.Error("it was called unsigned")
	}
	if err := g.Check(); err == nil || !strings.Contains(err.Error(), "NOT_SET_AT_ALL") {
		t.Errorf("found before the run: %v", err)
	}
}

func TestASecretThatWasRenewedIsUsed(t *testing.T) {
	var got recorded
	value := env(t, "HOOK_TOKEN", "old-token")
	g := newHook(t, httpgate.HookConfig{URL: text(serve(t, got.ServeHTTP)), Headers: map[string]credential.Value{"Authorization": value}})
	run(t, g, hookCall())
	t.Setenv("HOOK_TOKEN", "new-token")
	run(t, g, hookCall())
	if all := got.all(); len(all) != 2 || all[1].Header.Get("Authorization") != "new-token" {
		t.Errorf("got %d requests", len(all))
	}
}

func TestMistakesInAHookAreNamedByField(t *testing.T) {
	for name, tc := range map[string]struct{ config, field string }{
		"no url":          {`{}`, "url"},
		"url and secret":  {`{"url": "https://x.example/?token=abc"}`, "url"},
		"hmac no secret":  {`{"url": "https://x.example", "hmac": {}}`, "hmac.secret"},
		"hmac the secret": {`{"url": "https://x.example", "hmac": {"secret": {"env": "a b c"}}}`, "hmac.secret.env"},
		"bad method":      {`{"url": "https://x.example", "method": "P OST"}`, "method"},
		"bad status":      {`{"url": "https://x.example", "expect": {"status": [0]}}`, "expect.status[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := httpgate.NewHookConfig().(*httpgate.HookConfig)
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
