package process_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload/process"
)

func TestMistakesInTheFileAreNamed(t *testing.T) {
	shop := []string{"./shop", "-listen", "$(ADDR)"}
	for _, c := range []struct {
		name    string
		change  func(*process.Config)
		field   string
		warning bool
	}{
		{"nothing is wrong", func(*process.Config) {}, "", false},
		{"the file's candidate is left to serin release", func(c *process.Config) { c.Canary = process.Version{} }, "", false},
		{"the address comes by the environment", func(c *process.Config) {
			c.Stable = process.Version{Version: "v1", Command: []string{"shop"}, Env: map[string]string{"PORT": "$(PORT)"}}
		}, "", false},
		{"a literal $( is escaped", func(c *process.Config) { c.Stable.Command = append(shop, "$$(DATE)") }, "", false},
		{"empty command", func(c *process.Config) { c.Stable.Command = nil }, "stable.command", false},
		{"a candidate without a command", func(c *process.Config) { c.Canary.Command = []string{""} }, "canary.command", false},
		{"both versions the same", func(c *process.Config) { c.Canary.Version = "v1" }, "canary.version", false},
		{"no version", func(c *process.Config) { c.Stable.Version = "" }, "stable.version", false},
		{"a version that is a path", func(c *process.Config) { c.Stable.Version = "../v1" }, "stable.version", false},
		{"an unknown placeholder", func(c *process.Config) { c.Stable.Command = append(shop, "$(HOST)") }, "stable.command[3]", false},
		{"an open placeholder", func(c *process.Config) { c.Stable.Command = append(shop, "$(ADDR") }, "stable.command[3]", false},
		{"an unknown placeholder in env", func(c *process.Config) { c.Stable.Env = map[string]string{"A": "$(B)"} }, "stable.env.A", false},
		{"a variable of Serin's own", func(c *process.Config) { c.Stable.Env = map[string]string{"SERIN_INSTANCE": "x"} }, "stable.env.SERIN_INSTANCE", false},
		{"nobody tells the address", func(c *process.Config) { c.Canary.Command = []string{"./shop", "$$(ADDR)"} }, "canary.command", true},
		{"no replicas", func(c *process.Config) { c.Replicas = 0 }, "replicas", false},
		{"replicas on one port", func(c *process.Config) { c.Replicas, c.Stable.Port = 2, 9001 }, "stable.port", false},
		{"both versions on one port", func(c *process.Config) { c.Stable.Port, c.Canary.Port = 9001, 9001 }, "canary.port", false},
		{"a path without a slash", func(c *process.Config) { c.Readiness.Path = "healthz" }, "readiness.path", false},
		{"an interval of nothing", func(c *process.Config) { c.Readiness.Interval = 0 }, "readiness.interval", false},
		{"no success needed", func(c *process.Config) { c.Readiness.Successes = 0 }, "readiness.successes", false},
		{"no signal", func(c *process.Config) { c.Stop.Signal = "TERM" }, "stop.signal", false},
		{"a negative grace", func(c *process.Config) { c.Stop.Grace = -1 }, "stop.grace", false},
		{"a ceiling below the floor", func(c *process.Config) { c.Restart.MaxBackoff = rollout.Duration(50 * time.Millisecond) }, "restart.maxBackoff", false},
		{"a size without a unit that exists", func(c *process.Config) { c.Logs.MaxSize = "10 potatoes" }, "logs.maxSize", false},
		{"a size too small for a line", func(c *process.Config) { c.Logs.MaxSize = "1KiB" }, "logs.maxSize", false},
		{"too many logs", func(c *process.Config) { c.Logs.Keep = 1000 }, "logs.keep", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := *process.NewConfig().(*process.Config)
			cfg.Stable = process.Version{Version: "v1", Command: shop}
			cfg.Canary = process.Version{Version: "v2", Command: shop}
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
			if !c.warning {
				dir := t.TempDir()
				if _, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: dir}); err == nil || !strings.Contains(err.Error(), c.field) {
					t.Errorf("New: %v, want an error about %s", err, c.field)
				}
			}
		})
	}
}

// The file as it is written in the documents, with what it leaves out.
func TestMinimalFileGetsItsDefaults(t *testing.T) {
	cfg := process.NewConfig().(*process.Config)
	must(t, json.Unmarshal([]byte(`{
		"stable": {"version": "v1", "command": ["./shop-v1", "-listen", "$(ADDR)"]},
		"canary": {"version": "v2", "command": ["./shop-v2", "-listen", "$(ADDR)"]},
		"readiness": {"path": "/healthz"}}`), cfg))
	if problems := cfg.Validate(); len(problems) > 0 {
		t.Errorf("problems %+v, want none", problems)
	}
	if cfg.Replicas != 1 || cfg.Stop.Signal != "SIGTERM" || cfg.Stop.Grace.String() != "30s" || cfg.Readiness.Interval <= 0 {
		t.Errorf("defaults are %+v", cfg)
	}
}
