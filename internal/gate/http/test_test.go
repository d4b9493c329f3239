package httpgate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	httpgate "serin.dev/serin/internal/gate/http"
	"serin.dev/serin/internal/rollout"
)

func TestTheRequestIsSentAsWritten(t *testing.T) {
	var got recorded
	g := newTest(t, httpgate.TestConfig{
		Method: "PUT", Path: "/cart?user=7", Body: `{"item": 3}`,
		Headers: map[string]credential.Value{
			"Host": text("shop.example"), "X-Trace": text("on"), "Authorization": env(t, "SHOP_TOKEN", "Bearer abc123"),
		},
	})
	if r := run(t, g, canary(serve(t, got.ServeHTTP)+"/base/")); !r.Passed {
		t.Fatalf("failed: %+v", r)
	}
	req := got.all()[0]
	if req.Method != "PUT" || req.URL.String() != "/base/cart?user=7" || string(req.body) != `{"item": 3}` || req.Host != "shop.example" {
		t.Errorf("got %s %s to %s: %s", req.Method, req.URL, req.Host, req.body)
	}
	for name, want := range map[string]string{"X-Trace": "on", "Authorization": "Bearer abc123", "Content-Type": "application/json", "User-Agent": "serin"} {
		if req.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, req.Header.Get(name), want)
		}
	}
}

func TestExpectations(t *testing.T) {
	const cart = `{"total": 3, "paid": false, "big": 9007199254740993, "items": [{"name": "tea", "price": 1.50, "ok": true}, {"name": "cup", "price": 3, "ok": true}], "note": null}`
	for name, tc := range map[string]struct {
		status int
		body   string
		expect string
		passes bool
		says   string
	}{
		"any 2xx by default":             {201, "", `{}`, true, ""},
		"404 by default":                 {404, "", `{}`, false, "answered 404, expected 200 to 299"},
		"an expected 404":                {404, "", `{"status": [200, 404]}`, true, ""},
		"a status not listed":            {204, "", `{"status": [200, 404]}`, false, "answered 204, expected 200 or 404"},
		"body matches":                   {200, "welcome, you", `{"body": "^wel.*you$"}`, true, ""},
		"body does not match":            {200, "bye", `{"body": "welcome"}`, false, `does not match "welcome"`},
		"number equal":                   {200, cart, `{"json": [{"path": "$.total", "equals": 3}]}`, true, ""},
		"number equal, written in full":  {200, cart, `{"json": [{"path": "$.total", "equals": 3.0}]}`, true, ""},
		"number differs":                 {200, cart, `{"json": [{"path": "$.total", "equals": 4}]}`, false, "answered $.total = 3, expected 4"},
		"large numbers differ by one":    {200, cart, `{"json": [{"path": "$.big", "equals": 9007199254740992}]}`, false, "9007199254740993"},
		"large numbers equal":            {200, cart, `{"json": [{"path": "$.big", "equals": 9007199254740993}]}`, true, ""},
		"a huge exponent is just unlike": {200, `{"n": 1e999999999}`, `{"json": [{"path": "$.n", "equals": 1}]}`, false, "expected 1"},
		"number is not text":             {200, cart, `{"json": [{"path": "$.total", "equals": "3"}]}`, false, `expected "3"`},
		"false equal":                    {200, cart, `{"json": [{"path": "$.paid", "equals": false}]}`, true, ""},
		"every value found":              {200, cart, `{"json": [{"path": "$.items[*].ok", "equals": true}]}`, true, ""},
		"not every value found":          {200, cart, `{"json": [{"path": "$.items[*].name", "equals": "tea"}]}`, false, `= "cup"`},
		"a filter":                       {200, cart, `{"json": [{"path": "$.items[?(@.price < 2)].name", "equals": "tea"}]}`, true, ""},
		"a whole object":                 {200, cart, `{"json": [{"path": "$.items[0]", "equals": {"ok": true, "name": "tea", "price": 1.5}}]}`, true, ""},
		"a list in another order":        {200, `[1,2]`, `{"json": [{"path": "$", "equals": [2,1]}]}`, false, "[1,2]"},
		"present":                        {200, cart, `{"json": [{"path": "$.note"}]}`, true, ""},
		"absent":                         {200, cart, `{"json": [{"path": "$.voucher"}]}`, false, "without $.voucher"},
		"absent, with a value expected":  {200, cart, `{"json": [{"path": "$.voucher", "equals": 1}]}`, false, "without $.voucher"},
		"not JSON":                       {200, "<html>", `{"json": [{"path": "$.total"}]}`, false, "not JSON"},
		"JSON and more":                  {200, `{"total": 3} x`, `{"json": [{"path": "$.total"}]}`, false, "not JSON"},
		"status is told first":           {500, "oops", `{"body": "welcome", "json": [{"path": "$.total"}]}`, false, "answered 500"},
	} {
		t.Run(name, func(t *testing.T) {
			var expect httpgate.Expect
			if err := json.Unmarshal([]byte(tc.expect), &expect); err != nil {
				t.Fatal(err)
			}
			g := newTest(t, httpgate.TestConfig{Path: "/", Expect: expect})
			r := run(t, g, canary(serve(t, answering(tc.status, tc.body))))
			if r.Passed != tc.passes || !strings.Contains(r.Message, tc.says) {
				t.Errorf("got %+v", r)
			}
			if !r.Passed && r.Output != tc.body {
				t.Errorf("output %q, want the body", r.Output)
			}
		})
	}
}

func TestAnAnswerThatIsTooSlowFails(t *testing.T) {
	slow := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(150 * time.Millisecond) // the end of the answer counts, not its beginning
		fmt.Fprint(w, "ok")
	})
	expect := httpgate.Expect{Latency: rollout.Duration(50 * time.Millisecond)}
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/", Expect: expect}), canary(slow)); r.Passed || !strings.Contains(r.Message, "expected at most 50ms") {
		t.Errorf("got %+v", r)
	}
	expect.Latency = rollout.Duration(20 * time.Second)
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/", Expect: expect}), canary(slow)); !r.Passed {
		t.Errorf("got %+v", r)
	}
}

func TestEveryInstanceIsAskedAndAllMustPass(t *testing.T) {
	var asked atomic.Int32
	good := func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) }
	bad := func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(500) }
	g := newTest(t, httpgate.TestConfig{Path: "/"})
	var urls []string
	for range 12 {
		urls = append(urls, serve(t, good))
	}
	if r := run(t, g, canary(urls...)); !r.Passed || asked.Load() != 12 {
		t.Errorf("asked %d of 12: %+v", asked.Load(), r)
	}
	urls[9] = serve(t, bad)
	r := run(t, g, canary(urls...))
	if r.Passed || !strings.Contains(r.Message, "failed at 1 of 12 instances; canary-j: answered 500") {
		t.Errorf("got %+v", r)
	}
}

func TestWithoutAnInstanceToAskTheTestFails(t *testing.T) {
	g := newTest(t, httpgate.TestConfig{Path: "/"})
	call := gate.Call{Canary: []rollout.Instance{{Name: "pod-1", Ready: true}}}
	if r := run(t, g, call); r.Passed || !strings.Contains(r.Message, "no instance of the canary has an address") {
		t.Errorf("got %+v", r)
	}
}

func TestAURLIsAskedInsteadOfTheCanary(t *testing.T) {
	var got recorded
	g := newTest(t, httpgate.TestConfig{URL: text(serve(t, got.ServeHTTP) + "/probe")})
	if r := run(t, g, canary(closed(t))); !r.Passed || len(got.all()) != 1 || got.all()[0].URL.Path != "/probe" {
		t.Errorf("got %+v after %d requests", r, len(got.all()))
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	var followed atomic.Bool
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	redirecting := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/"}), canary(redirecting)); r.Passed || !strings.Contains(r.Message, "redirects are not followed") {
		t.Errorf("got %+v", r)
	}
	expect := httpgate.Expect{Status: []int{302}}
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/", Expect: expect}), canary(redirecting)); !r.Passed {
		t.Errorf("got %+v", r)
	}
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

func TestMetadataAddressesAreNotAsked(t *testing.T) {
	r := run(t, newTest(t, httpgate.TestConfig{Path: "/latest/meta-data/"}), canary("http://169.254.169.254"))
	if r.Passed || !strings.Contains(r.Message, "Serin never asks") || r.Took > 5*time.Second {
		t.Errorf("got %+v", r)
	}
}

func TestALargeBodyPassesUnlessItIsToBeCompared(t *testing.T) {
	large := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 2 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/"}), canary(large)); !r.Passed {
		t.Errorf("got %+v", r)
	}
	expect := httpgate.Expect{Body: "x"}
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/", Expect: expect}), canary(large)); r.Passed || !strings.Contains(r.Message, "too much to be compared") {
		t.Errorf("got %+v", r)
	}
}

func TestACutAnswerFails(t *testing.T) {
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	})
	if r := run(t, newTest(t, httpgate.TestConfig{Path: "/"}), canary(cut)); r.Passed {
		t.Errorf("got %+v", r)
	}
}

func TestTheTimeoutHoldsForAllInstancesTogether(t *testing.T) {
	var urls []string
	for range 20 {
		urls = append(urls, serve(t, hanging))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	r := newTest(t, httpgate.TestConfig{Path: "/"}).Run(ctx, canary(urls...))
	if took := time.Since(started); r.Passed || took > 5*time.Second || !strings.Contains(r.Message, "no answer within the timeout") {
		t.Errorf("returned after %s: %+v", took, r)
	}
}

func TestMistakesInATestAreNamedByField(t *testing.T) {
	for name, tc := range map[string]struct{ config, field string }{
		"nothing to ask":          {`{}`, "path"},
		"path and url":            {`{"path": "/", "url": "http://x"}`, "url"},
		"path without slash":      {`{"path": "healthz"}`, "path"},
		"url without scheme":      {`{"url": "shop.example/x"}`, "url"},
		"url with another scheme": {`{"url": "ftp://shop.example"}`, "url"},
		"url with a password":     {`{"url": "http://me:pw@shop.example"}`, "url"},
		"url with a token":        {`{"url": "http://shop.example/?access_token=abc"}`, "url"},
		"metadata address":        {`{"url": "http://169.254.169.254/"}`, "url"},
		"secret header":           {`{"path": "/", "headers": {"Authorization": "Bearer x"}}`, "headers.Authorization"},
		"reserved header":         {`{"path": "/", "headers": {"Serin-Signature": "x"}}`, "headers.Serin-Signature"},
		"bad header":              {`{"path": "/", "headers": {"A B": "x"}}`, "headers.A B"},
		"header of two lines":     {`{"path": "/", "headers": {"A": "x\ny"}}`, "headers.A"},
		"bad method":              {`{"path": "/", "method": "get"}`, "method"},
		"bad status":              {`{"path": "/", "expect": {"status": [200, 42]}}`, "expect.status[1]"},
		"bad regexp":              {`{"path": "/", "expect": {"body": "("}}`, "expect.body"},
		"bad json path":           {`{"path": "/", "expect": {"json": [{"path": "$.a[", "equals": 1}]}}`, "expect.json[0].path"},
		"negative latency":        {`{"path": "/", "expect": {"latency": "-1s"}}`, "expect.latency"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := httpgate.NewTestConfig().(*httpgate.TestConfig)
			if err := json.Unmarshal([]byte(tc.config), cfg); err != nil {
				t.Fatal(err)
			}
			found := cfg.Validate()
			if len(found) != 1 || found[0].Field != tc.field || found[0].Message == "" || found[0].Mend == "" {
				t.Errorf("found %+v, want one at %s", found, tc.field)
			}
			if _, err := httpgate.NewTest(*cfg); err == nil {
				t.Error("the gate was made all the same")
			}
		})
	}
}
