package process

import (
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Config is what a file says under workload.process.
type Config struct {
	// Stable is the version that serves before the first run.
	Stable Version `json:"stable"`
	// Canary is the candidate of "serin run". "serin release" names its own.
	Canary Version `json:"canary,omitzero"`
	// Replicas is the number of instances that take all traffic together. A
	// canary at 5 % of three replicas is one instance.
	Replicas int `json:"replicas"`
	// Readiness says how an instance shows that it can take requests.
	Readiness Readiness `json:"readiness"`
	// Stop says how an instance is asked to end.
	Stop Stop `json:"stop"`
	// Restart says what happens when an instance ends by itself.
	Restart Restart `json:"restart"`
	// Logs bounds what the instances' output may fill.
	Logs Logs `json:"logs"`
}

// Version is one version and its command.
type Version struct {
	// Version is the label by which people and reports call it, such as v2.
	Version string `json:"version"`
	// Command is the program and its arguments. No shell is involved. A program
	// with a slash is relative to the file's folder, one without is looked up
	// in PATH. $(ADDR), $(PORT) and $(VERSION) are replaced; $$( is a literal $(.
	Command []string `json:"command"`
	// Env is added to the environment that Serin runs in, less Serin's own
	// variables; the same names are replaced as in Command.
	Env map[string]string `json:"env,omitempty"`
	// Dir is the working directory; default: the file's folder.
	Dir string `json:"dir,omitempty"`
	// Port is the port that this version listens on when it cannot be told
	// one; only with one replica. Default: a free port for every instance.
	Port int `json:"port,omitempty"`
}

// Readiness is how an instance shows that it can take requests.
type Readiness struct {
	// Path is asked for by HTTP GET and must answer 2xx or 3xx. Without it, a
	// TCP connection must be accepted.
	Path string `json:"path,omitempty"`
	// InitialDelay passes before the first probe.
	InitialDelay rollout.Duration `json:"initialDelay"`
	// Interval is the time between probes once the instance has been ready;
	// until then it is probed every few milliseconds.
	Interval rollout.Duration `json:"interval"`
	// Timeout bounds one probe.
	Timeout rollout.Duration `json:"timeout"`
	// Successes in a row make an instance ready.
	Successes int `json:"successes"`
	// Failures in a row make it not ready.
	Failures int `json:"failures"`
}

// Stop is how an instance is asked to end.
type Stop struct {
	// Signal is sent to the instance's process group.
	Signal string `json:"signal"`
	// Grace passes before what is left of the group is killed.
	Grace rollout.Duration `json:"grace"`
}

// Restart is what happens when an instance ends by itself.
type Restart struct {
	// Backoff is the pause before the first restart; it doubles each time up to
	// MaxBackoff, and starts over after the instance ran for ResetAfter.
	Backoff    rollout.Duration `json:"backoff"`
	MaxBackoff rollout.Duration `json:"maxBackoff"`
	ResetAfter rollout.Duration `json:"resetAfter"`
	// Max is how often in a row an instance may end by itself before its group
	// counts as failed. It is restarted all the same.
	Max int `json:"max"`
}

// Logs bounds what the instances' output may fill.
type Logs struct {
	// MaxSize is the size at which an instance's log is rotated, such as 10MiB.
	MaxSize string `json:"maxSize"`
	// Keep is the number of rotated files kept for each instance.
	Keep int `json:"keep"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any {
	return &Config{
		Replicas: 1,
		Readiness: Readiness{
			Interval:  rollout.Duration(time.Second),
			Timeout:   rollout.Duration(time.Second),
			Successes: 1,
			Failures:  3,
		},
		Stop: Stop{Signal: "SIGTERM", Grace: rollout.Duration(30 * time.Second)},
		Restart: Restart{
			Backoff:    rollout.Duration(100 * time.Millisecond),
			MaxBackoff: rollout.Duration(30 * time.Second),
			ResetAfter: rollout.Duration(10 * time.Second),
			Max:        3,
		},
		Logs: Logs{MaxSize: "10MiB", Keep: 3},
	}
}

func (v Version) isZero() bool {
	return v.Version == "" && len(v.Command) == 0 && len(v.Env) == 0 && v.Dir == "" && v.Port == 0
}

// release is v as a run speaks of it.
func (v Version) release() workload.Version {
	return workload.Version{Version: v.Version, Command: v.Command, Env: v.Env, Dir: v.Dir, Port: v.Port}
}
