package endpoints_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/endpoints"
	"serin.dev/serin/internal/workload/workloadtest"
	"serin.dev/serin/test/plane/ports"
)

// instance is a server that can be made unready.
type instance struct {
	*httptest.Server
	unready atomic.Bool
}

func start(t *testing.T) *instance {
	i := &instance{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || i.unready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func config(stable, canary []*instance) endpoints.Config {
	cfg := *endpoints.NewConfig().(*endpoints.Config)
	cfg.Stable = endpoints.Version{Version: "v1", URLs: urls(stable)}
	cfg.Canary = endpoints.Version{Version: "v2", URLs: urls(canary)}
	cfg.Health.Path = "/healthz"
	cfg.Health.Interval = rollout.Duration(20 * time.Millisecond)
	return cfg
}

func urls(instances []*instance) []string {
	var out []string
	for _, i := range instances {
		out = append(out, i.URL)
	}
	return out
}

func TestEndpointsConform(t *testing.T) {
	workloadtest.Run(t, func(t *testing.T) workloadtest.Harness {
		stable, canary, next := []*instance{start(t), start(t)}, []*instance{start(t), start(t)}, []*instance{start(t)}
		dir := t.TempDir()
		return workloadtest.Harness{
			Stable: "v1", Canary: "v2",
			Next: workload.Version{Version: "v3", URLs: urls(next)},
			Open: func(t *testing.T) workload.Workload { return open(t, config(stable, canary), dir) },
			SetReady: func(t *testing.T, i rollout.Instance, ready bool) {
				for _, s := range append(append([]*instance{}, stable...), canary...) {
					if s.URL == i.URL {
						s.unready.Store(!ready)
						return
					}
				}
				t.Fatalf("there is no server at %s", i.URL)
			},
		}
	})
}

func open(t *testing.T, cfg endpoints.Config, dir string) *endpoints.Workload {
	t.Helper()
	w, err := endpoints.New(cfg, endpoints.Env{Rollout: "shop", StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAnAddressThatNobodyListensAtHasNoCapacityAndSaysWhy(t *testing.T) {
	nobody := "http://" + ports.Keep(t)
	cfg := config([]*instance{start(t)}, nil)
	cfg.Canary = endpoints.Version{}
	cfg.Stable.URLs = append(cfg.Stable.URLs, nobody)
	cfg.Health.Path = "" // a TCP connection is enough
	w := open(t, cfg, t.TempDir())
	defer w.Close()
	if err := w.Apply(t.Context(), workload.Want{Stable: 100}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		st, err := w.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Stable.Capacity == 50 && strings.Contains(st.Stable.Detail, "connection refused") && strings.Contains(st.Stable.Detail, "shop-v1-1") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stable is %+v, want half of the capacity and a detail about shop-v1-1", st.Stable)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFreshForgetsWhatServed(t *testing.T) {
	dir := t.TempDir()
	cfg := config([]*instance{start(t)}, []*instance{start(t)})
	w := open(t, cfg, dir)
	if err := w.EndRun(true); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w = open(t, cfg, dir)
	if got := w.Serving().Version; got != "v2" {
		t.Fatalf("%s serves after a promoted run, want v2", got)
	}
	w.Close()
	w, err := endpoints.New(cfg, endpoints.Env{Rollout: "shop", StateDir: dir, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := w.Serving().Version; got != "v1" {
		t.Errorf("%s serves after a fresh start, want v1", got)
	}
}

func TestDamagedMemoryIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "endpoints.json")
	for _, content := range []string{"", "{", `{"format":99,"serving":{"version":"v9","urls":["http://127.0.0.1:1"]}}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := endpoints.New(config([]*instance{start(t)}, []*instance{start(t)}), endpoints.Env{Rollout: "shop", StateDir: dir})
		if err == nil {
			w.Close()
			t.Errorf("content %q was taken", content)
			continue
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("content %q: %v does not name the file", content, err)
		}
		if after, _ := os.ReadFile(path); string(after) != content {
			t.Errorf("content %q was overwritten with %q", content, after)
		}
	}
}

func TestMistakesInTheFileAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*endpoints.Config)
		field  string
	}{
		"no urls":                 {func(c *endpoints.Config) { c.Stable.URLs = nil }, "stable.urls"},
		"no version":              {func(c *endpoints.Config) { c.Stable.Version = "" }, "stable.version"},
		"a version with a slash":  {func(c *endpoints.Config) { c.Canary.Version = "feature/x" }, "canary.version"},
		"both versions the same":  {func(c *endpoints.Config) { c.Canary.Version = "v1" }, "canary.version"},
		"a URL with a path":       {func(c *endpoints.Config) { c.Stable.URLs = []string{"http://a:1/x"} }, "stable.urls[0]"},
		"a URL without a scheme":  {func(c *endpoints.Config) { c.Stable.URLs = []string{"127.0.0.1:9001"} }, "stable.urls[0]"},
		"one URL in both":         {func(c *endpoints.Config) { c.Canary.URLs = []string{"http://127.0.0.1:9001/"} }, "canary.urls[0]"},
		"a path without a slash":  {func(c *endpoints.Config) { c.Health.Path = "healthz" }, "health.path"},
		"an interval of nothing":  {func(c *endpoints.Config) { c.Health.Interval = 0 }, "health.interval"},
		"successes below one":     {func(c *endpoints.Config) { c.Health.Successes = 0 }, "health.successes"},
		"a password in the URL":   {func(c *endpoints.Config) { c.Stable.URLs = []string{"http://u:secret@a:1"} }, "stable.urls[0]"},
		"nothing is wrong at all": {func(*endpoints.Config) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := *endpoints.NewConfig().(*endpoints.Config)
			cfg.Stable = endpoints.Version{Version: "v1", URLs: []string{"http://127.0.0.1:9001"}}
			cfg.Canary = endpoints.Version{Version: "v2", URLs: []string{"http://127.0.0.1:9002"}}
			c.change(&cfg)
			problems := cfg.Validate()
			if c.field == "" {
				if len(problems) != 0 {
					t.Errorf("problems %+v, want none", problems)
				}
				return
			}
			found := false
			for _, p := range problems {
				found = found || p.Field == c.field && p.Message != "" && p.Mend != ""
				if strings.Contains(p.Message+p.Mend, "secret") {
					t.Errorf("%+v tells the password", p)
				}
			}
			if !found {
				t.Errorf("problems %+v, want one about %s with its mend", problems, c.field)
			}
		})
	}
}

// A disk that hangs holds up nobody who watches the endpoints, and what has changed
// meanwhile is remembered once it goes on.
func TestADiskThatHangsStopsNobody(t *testing.T) {
	dir := t.TempDir()
	cfg := config([]*instance{start(t)}, []*instance{start(t)})
	w := open(t, cfg, dir)
	goOn := workloadtest.Hang(t, filepath.Join(dir, "endpoints.json"))
	if err := w.Apply(t.Context(), workload.Want{Canary: 100, Promoted: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Observe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.EndRun(true); err != nil {
		t.Fatal(err)
	}
	goOn()
	w.Close()
	w = open(t, cfg, dir)
	defer w.Close()
	if got := w.Serving().Version; got != "v2" {
		t.Errorf("%s serves after a promoted run, want v2", got)
	}
}
