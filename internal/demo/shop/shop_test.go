package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newShop(t *testing.T, cfg Config) *Shop {
	t.Helper()
	if cfg.Seed == 0 {
		cfg.Seed = 7
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// visit asks a handler without a network, so that its time can be a fake one.
func visit(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestPaymentsFailAsOftenAsTheyShould(t *testing.T) {
	for name, c := range map[string]struct {
		cfg      Config
		path     string
		from, to int // of 4000
	}{
		"now and then":                  {Config{PaymentFailures: 0.1}, "/checkout", 340, 460},
		"three times as often":          {Config{PaymentFailures: 0.1, Faults: Faults{Errors: 3}}, "/checkout", 1110, 1290},
		"never where nothing is paid":   {Config{PaymentFailures: 0.1, Faults: Faults{Errors: 3}}, "/products", 0, 0},
		"never with a perfect provider": {Config{}, "/checkout", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.cfg.Version = "v9"
				h := newShop(t, c.cfg).Handler()
				failed := 0
				for range 4000 {
					w := visit(h, http.MethodPost, c.path)
					if w.Header().Get(VersionHeader) != "v9" {
						t.Fatalf("an answer names version %q, not v9", w.Header().Get(VersionHeader))
					}
					marked := w.Header().Get(FailureHeader) != ""
					if marked != (w.Code == http.StatusInternalServerError) {
						t.Fatalf("status %d has failure header %q", w.Code, w.Header().Get(FailureHeader))
					}
					if marked {
						failed++
					}
				}
				if failed < c.from || failed > c.to {
					t.Errorf("%d of 4000 failed, want %d to %d (seed 7)", failed, c.from, c.to)
				}
			})
		})
	}
}

// typical is the median of the times that a page takes.
func typical(s *Shop) time.Duration {
	var took []time.Duration
	for range 1001 {
		began := time.Now()
		visit(s.Handler(), http.MethodGet, "/products")
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[500]
}

func TestResponseTimesScaleWithPaceAndFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		usual := typical(newShop(t, Config{}))
		if usual < 80*time.Millisecond || usual > 100*time.Millisecond {
			t.Errorf("a page typically takes %s, want about 90 ms", usual)
		}
		for factor, s := range map[float64]*Shop{
			0.5:  newShop(t, Config{Pace: 0.5}),
			1.25: newShop(t, Config{Faults: Faults{Slow: 1.25}}),
			1.5:  newShop(t, Config{Pace: 0.5, Faults: Faults{Slow: 3}}),
		} {
			if got := typical(s).Seconds() / usual.Seconds(); got < factor-0.01 || got > factor+0.01 {
				t.Errorf("pages take %.3f times the usual time, want %.2f", got, factor)
			}
		}
	})
}

func TestTheSameSeedIsTheSameShop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := func(seed uint64) (statuses []int) {
			h := newShop(t, Config{Seed: seed, PaymentFailures: 0.5}).Handler()
			for range 50 {
				statuses = append(statuses, visit(h, http.MethodPost, "/checkout").Code)
			}
			return statuses
		}
		if !slices.Equal(day(3), day(3)) {
			t.Error("seed 3 did not repeat itself")
		}
		if slices.Equal(day(3), day(4)) {
			t.Error("seeds 3 and 4 are the same shop")
		}
	})
}

// serve runs a shop on a real address until the test ends.
func serve(t *testing.T, cfg Config) (url string, ended <-chan error, stop func()) {
	t.Helper()
	s := newShop(t, cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.serveOn(ctx, ln) }()
	t.Cleanup(cancel)
	return "http://" + ln.Addr().String(), done, cancel
}

func post(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func status(t *testing.T, url string) int {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestFaultsAreSwitchedWhileItRuns(t *testing.T) {
	url, _, _ := serve(t, Config{Faults: Faults{NeverReady: true}})
	if got := status(t, url+"/healthz"); got != http.StatusServiceUnavailable {
		t.Fatalf("a shop that is never ready answers its health check with %d", got)
	}
	code, body := post(t, url+"/faults", `{"slow": 2, "panics": 1}`)
	var now Faults
	if err := json.Unmarshal([]byte(body), &now); code != http.StatusOK || err != nil || now != (Faults{Slow: 2, Panics: 1}) {
		t.Fatalf("setting the faults gave %d %s", code, body)
	}
	if got := status(t, url+"/healthz"); got != http.StatusOK {
		t.Errorf("the shop is ready now, its health check says %d", got)
	}
	if answer, err := http.Get(url + "/products"); err == nil {
		t.Errorf("a request that panics was answered with %d", answer.StatusCode)
	}
	if code, _ = post(t, url+"/faults", `{}`); code != http.StatusOK {
		t.Fatalf("taking the faults back gave %d", code)
	}
	if got := status(t, url+"/products"); got != http.StatusOK {
		t.Errorf("after the faults were taken back a page gives %d", got)
	}
}

func TestFaultsThatCannotBeSet(t *testing.T) {
	url, _, _ := serve(t, Config{})
	for body, want := range map[string]string{
		`{"slowness": 2}`:  "slowness",
		`{"panics": 2}`:    "panics is 2",
		`{"burn": -1}`:     "burn is -1",
		`{"exitAfter": 5}`: "duration",
		`{`:                "unexpected EOF",
		`{"errors":` + strings.Repeat("1", 1<<17) + `}`: "too large",
	} {
		code, text := post(t, url+"/faults", body)
		if code != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("faults %.40q gave %d %q, want 400 naming %q", body, code, text, want)
		}
	}
	// A user who comes through a proxy on this machine is a stranger.
	if code, _ := post(t, url+"/faults", `{"panics": 1}`, "X-Forwarded-For", "203.0.113.9"); code != http.StatusNotFound {
		t.Errorf("a user could reach the faults: %d", code)
	}
}

func TestAShopThatExitsByItself(t *testing.T) {
	_, ended, _ := serve(t, Config{Faults: Faults{ExitAfter: Seconds(50 * time.Millisecond), Burn: 0.1, LeakMB: 10}})
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "exits by itself") {
			t.Errorf("the shop ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the shop went on")
	}
}

func TestClosingFinishesWhatIsUnderWay(t *testing.T) {
	url, ended, stop := serve(t, Config{Pace: 3})
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	var visitors, begun sync.WaitGroup
	codes := make(chan int, 8)
	for range cap(codes) {
		begun.Add(1)
		visitors.Go(func() {
			// The shop asks for the body when it has begun with the request.
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: begun.Done})
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/cart", strings.NewReader("one kettle"))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Expect", "100-continue")
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Errorf("a request under way ended with %v", err)
				codes <- 0
				return
			}
			answer.Body.Close()
			codes <- answer.StatusCode
		})
	}
	begun.Wait()
	stop()
	visitors.Wait()
	for range cap(codes) {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a request under way ended with %d", code)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("the shop ended with %v", err)
	}
}

func TestAShopEndsWithItsOwner(t *testing.T) {
	owner := exec.Command("sleep", "60")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := whileAlive(t.Context(), owner.Process.Pid)
	if ctx.Err() != nil {
		t.Error("the shop ended while its owner was alive")
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("the shop outlived its owner")
	}
}

func TestWrongFlagsAreToldWithTheirMend(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-nonsense"}, 4, "nonsense"},
		{[]string{"extra"}, 4, "extra"},
		{[]string{"-payment-failures", "2"}, 1, "between 0 and 1"},
		{[]string{"-panics", "7"}, 1, "panics is 7"},
		{[]string{"-listen", "127.0.0.1:notaport"}, 1, "-listen"},
		{[]string{"-help"}, 0, "payment-failures"},
	} {
		var stderr bytes.Buffer
		if code := Main(c.args, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v gave exit code %d and %q; want %d and %q", c.args, code, stderr.String(), c.code, c.want)
		}
	}
}

func TestALogLineForEveryFailedCheckout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newShop(t, Config{Version: "v3", PaymentFailures: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))}).Handler()
		for range 3 {
			visit(h, http.MethodPost, "/checkout")
		}
		if n := strings.Count(log.String(), "checkout failed"); n != 3 {
			t.Errorf("3 failed checkouts made %d log lines:\n%s", n, log.String())
		}
	})
}
