package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/proxy"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/test/plane/ports"
)

func config() proxy.Config {
	cfg := *proxy.NewConfig().(*proxy.Config)
	cfg.Listen = "127.0.0.1:0"
	return cfg
}

func start(t *testing.T, cfg proxy.Config, env proxy.Env) *proxy.Router {
	t.Helper()
	env.Rollout = "shop"
	if env.StateDir == "" {
		env.StateDir = t.TempDir()
	}
	r, err := proxy.New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.Close(ctx) // a test that closed it itself has looked at the error
	})
	return r
}

func TestProxyConforms(t *testing.T) {
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		instances, dir := traffictest.Start(t), t.TempDir()
		cfg := config()
		cfg.ForceHeader = "X-Serin-Arm"
		current := start(t, cfg, proxy.Env{StateDir: dir})
		address := func() string { return "http://" + current.Listen() }
		return traffictest.Harness{
			Router: current,
			Stable: instances.Stable, Canary: instances.Canary, Baseline: instances.Baseline,
			Exact:  true,
			Send:   traffictest.Send(t, address),
			SendAs: traffictest.SendAs(address, cfg.ForceHeader),
			Hold:   instances.Hold(address),
			Reopen: func(t *testing.T) traffic.Router {
				// Nothing is closed: a kill -9 closes nothing either.
				current = start(t, cfg, proxy.Env{StateDir: dir})
				return current
			},
		}
	})
}

func TestFreshStartForgetsTheWeight(t *testing.T) {
	instances, dir := traffictest.Start(t), t.TempDir()
	r := start(t, config(), proxy.Env{StateDir: dir})
	must(t, r.Apply(t.Context(), traffic.Split{Weight: 50, Stable: instances.Stable, Canary: instances.Canary}))
	r = start(t, config(), proxy.Env{StateDir: dir, Fresh: true})
	o, err := r.Observe(t.Context())
	if err != nil || o.Known || o.Weight != 0 {
		t.Errorf("observed %+v (%v), want nothing known", o, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedOrUnwritableWeightIsNoObstacle(t *testing.T) {
	instances := traffictest.Start(t)
	split := traffic.Split{Weight: 50, Stable: instances.Stable, Canary: instances.Canary}
	for name, harm := range map[string]func(t *testing.T, path string){
		"damaged":   func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("serin proxy weight=900"), 0o600)) },
		"empty":     func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) },
		"a folder":  func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
		"disk full": func(t *testing.T, path string) { must(t, os.Symlink("/dev/full", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			harm(t, filepath.Join(dir, "proxy.weight"))
			r := start(t, config(), proxy.Env{StateDir: dir})
			o, err := r.Observe(t.Context())
			if err != nil || o.Known {
				t.Errorf("observed %+v (%v), want nothing known", o, err)
			}
			must(t, r.Apply(t.Context(), split))
			split.Weight = 0
			must(t, r.Apply(t.Context(), split))
			if o, err := r.Observe(t.Context()); err != nil || !o.Known || o.Weight != 0 {
				t.Errorf("observed %+v (%v), want weight 0", o, err)
			}
		})
	}
}

func TestTakenAddressIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	for _, field := range []string{"listen", "metricsListen"} {
		cfg := config()
		if field == "listen" {
			cfg.Listen = ln.Addr().String()
		} else {
			cfg.MetricsListen = ln.Addr().String()
		}
		r, err := proxy.New(cfg, proxy.Env{Rollout: "shop", StateDir: t.TempDir()})
		must(t, err)
		err = r.Start(t.Context())
		if !errors.Is(err, proxy.ErrAddressTaken) {
			t.Fatalf("%s: Start: %v, want ErrAddressTaken", field, err)
		}
		for _, want := range []string{ln.Addr().String(), "spec.traffic.proxy." + field, "shop"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %s", field, err, want)
			}
		}
	}
}

func TestSuccessorTakesTheSocketsOver(t *testing.T) {
	instances := traffictest.Start(t)
	cfg := config()
	cfg.MetricsListen = "127.0.0.1:0"
	split := traffic.Split{Stable: instances.Stable}
	old := start(t, cfg, proxy.Env{})
	must(t, old.Apply(t.Context(), split))
	users, scrapes := old.Listen(), old.Metrics()
	files, err := old.Files()
	must(t, err)
	successor := start(t, cfg, proxy.Env{Inherited: files})
	must(t, successor.Apply(t.Context(), split))
	if successor.Listen() != users || successor.Metrics() != scrapes {
		t.Errorf("the successor listens on %s and %s, want %s and %s", successor.Listen(), successor.Metrics(), users, scrapes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, old.Close(ctx))
	send := traffictest.Send(t, func() string { return "http://" + users })
	for range 20 {
		if arm, err := send(); err != nil || arm != rollout.Stable {
			t.Fatalf("after the handover: %s, %v", arm, err)
		}
	}
	res, err := http.Get("http://" + scrapes + "/metrics")
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), "# TYPE") {
		t.Errorf("metrics answered %s (%v): %.200s", res.Status, err, body)
	}
}

func TestASuccessorListensWhereItsFileSays(t *testing.T) {
	instances := traffictest.Start(t)
	split := traffic.Split{Stable: instances.Stable}
	old := start(t, config(), proxy.Env{})
	must(t, old.Apply(t.Context(), split))
	for _, c := range []struct {
		name, listen string
		same         bool
	}{
		{"the address of before", old.Listen(), true},
		{"any port", "127.0.0.1:0", true},
		{"the same port by its host's name", strings.Replace(old.Listen(), "127.0.0.1", "localhost", 1), true},
		{"another address", "127.0.0.2:0", false},
		{"another port", ports.Keep(t), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, err := old.Files()
			must(t, err)
			cfg := config()
			cfg.Listen = c.listen
			successor := start(t, cfg, proxy.Env{Inherited: files})
			must(t, successor.Apply(t.Context(), split))
			if same := successor.Listen() == old.Listen(); same != c.same {
				t.Errorf("the successor listens on %s and its predecessor on %s, want the same: %t", successor.Listen(), old.Listen(), c.same)
			}
			send := traffictest.Send(t, func() string { return "http://" + successor.Listen() })
			if arm, err := send(); err != nil || arm != rollout.Stable {
				t.Errorf("a request there: %s, %v", arm, err)
			}
		})
	}
}

func TestServingThatEndsByItselfIsTold(t *testing.T) {
	r := start(t, config(), proxy.Env{})
	select {
	case err := <-r.Failed():
		t.Fatalf("failed: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, r.Close(ctx))
	select {
	case err := <-r.Failed():
		t.Fatalf("an orderly Close is told as a failure: %v", err)
	default:
	}
}

func TestMistakesInTheFileAreNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*proxy.Config)
		field   string
		warning bool
	}{
		{"the defaults", func(*proxy.Config) {}, "", false},
		{"loopback of version 6", func(c *proxy.Config) { c.Listen = "[::1]:8080" }, "", false},
		{"localhost", func(c *proxy.Config) { c.Listen = "localhost:8080" }, "", false},
		{"every interface", func(c *proxy.Config) { c.Listen = ":8080" }, "listen", true},
		{"a public address", func(c *proxy.Config) { c.Listen = "192.0.2.1:8080" }, "listen", true},
		{"no port", func(c *proxy.Config) { c.Listen = "127.0.0.1" }, "listen", false},
		{"a port that is none", func(c *proxy.Config) { c.Listen = "127.0.0.1:http2" }, "listen", false},
		{"metrics where users are", func(c *proxy.Config) { c.Listen, c.MetricsListen = "127.0.0.1:8080", "127.0.0.1:8080" }, "metricsListen", false},
		{"a key without its certificate", func(c *proxy.Config) { c.TLS = &proxy.TLS{KeyFile: "key.pem"} }, "tls.certFile", false},
		{"sticky by nothing", func(c *proxy.Config) { c.Sticky = &proxy.Sticky{} }, "sticky", false},
		{"sticky by two things", func(c *proxy.Config) { c.Sticky = &proxy.Sticky{Cookie: "a", Header: "b"} }, "sticky", false},
		{"a header name with a space", func(c *proxy.Config) { c.ForceHeader = "X Arm" }, "forceHeader", false},
		{"no time to dial", func(c *proxy.Config) { c.Timeouts.Dial = 0 }, "timeouts.dial", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := *proxy.NewConfig().(*proxy.Config)
			c.change(&cfg)
			problems := cfg.Validate()
			if c.field == "" {
				if len(problems) > 0 {
					t.Errorf("problems %+v, want none", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Field != c.field || problems[0].Warning != c.warning || problems[0].Message == "" || problems[0].Mend == "" {
				t.Errorf("problems %+v, want one about %s with its mend, warning %t", problems, c.field, c.warning)
			}
			if _, err := proxy.New(cfg, proxy.Env{Rollout: "shop", StateDir: t.TempDir()}); (err == nil) != c.warning {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestStickyUsersStayAndTestersChoose(t *testing.T) {
	instances := traffictest.Start(t)
	cfg := config()
	cfg.Sticky = &proxy.Sticky{Header: "X-User"}
	cfg.ForceHeader = "X-Arm"
	r := start(t, cfg, proxy.Env{})
	must(t, r.Apply(t.Context(), traffic.Split{Weight: 50, Stable: instances.Stable, Canary: instances.Canary}))
	ask := func(header, value string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Listen()+"/", nil)
		must(t, err)
		req.Header.Set(header, value)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		return res.Header.Get("X-Test-Arm")
	}
	arms := map[string]bool{}
	for user := range 40 {
		name := fmt.Sprint("user-", user)
		first := ask("X-User", name)
		arms[first] = true
		for range 3 {
			if again := ask("X-User", name); again != first {
				t.Fatalf("%s went from %s to %s at the same weight", name, first, again)
			}
		}
	}
	if len(arms) != 2 {
		t.Errorf("40 users are all at %v", arms)
	}
	for _, arm := range []string{"stable", "canary"} {
		if got := ask("X-Arm", arm); got != arm {
			t.Errorf("a tester asked for %s and got %s", arm, got)
		}
	}
}
