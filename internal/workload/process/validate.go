package process

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/rollout"
)

// label is what a version may be called: it becomes part of file names.
var label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?$`)

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	var ps problems
	ps.version("stable", c.Stable)
	if !c.Canary.isZero() {
		ps.version("canary", c.Canary)
		if c.Canary.Version == c.Stable.Version {
			ps.add("canary.version", fmt.Sprintf("is %q like stable's", c.Canary.Version), "give the candidate a label of its own, such as v2")
		}
		if c.Canary.Port != 0 && c.Canary.Port == c.Stable.Port {
			ps.add("canary.port", "is stable's port, and both run at the same time", "let the program take $(ADDR), or give the candidate another port")
		}
	}
	if c.Replicas < 1 || c.Replicas > 1000 {
		ps.add("replicas", fmt.Sprintf("is %d", c.Replicas), "write a number from 1 to 1000")
	}
	if c.Replicas > 1 {
		for _, v := range []struct {
			field string
			port  int
		}{{"stable.port", c.Stable.Port}, {"canary.port", c.Canary.Port}} {
			if v.port != 0 {
				ps.add(v.field, fmt.Sprintf("is fixed, but %d replicas cannot share a port", c.Replicas), "let the program take $(ADDR), or use one replica")
			}
		}
	}
	ps.readiness(c.Readiness)
	ps.lifecycle(c.Stop, c.Restart)
	ps.logs(c.Logs)
	return ps
}

type problems []rollout.Problem

func (ps *problems) add(field, message, mend string) {
	*ps = append(*ps, rollout.Problem{Field: field, Message: message, Mend: mend})
}

func (ps *problems) warn(field, message, mend string) {
	*ps = append(*ps, rollout.Problem{Field: field, Message: message, Mend: mend, Warning: true})
}

func (ps *problems) version(field string, v Version) {
	switch {
	case v.Version == "":
		ps.add(field+".version", "is missing", "name the version, such as v1")
	case !label.MatchString(v.Version):
		ps.add(field+".version", fmt.Sprintf("%q is not a plain label", v.Version),
			"use at most 63 letters, digits, dots, dashes, pluses and underscores, such as v1.4.2")
	}
	empty := len(v.Command) == 0 || v.Command[0] == ""
	if empty {
		ps.add(field+".command", "is empty", "write the program and its arguments, such as [./shop, -listen, $(ADDR)]")
	}
	for i, arg := range v.Command {
		ps.text(fmt.Sprintf("%s.command[%d]", field, i), arg)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Env)) {
		at := field + ".env." + name
		if name == "" || strings.ContainsAny(name, "=\x00") {
			ps.add(at, "is not a name of a variable", "use letters, digits and underscores")
		}
		if strings.HasPrefix(name, reservedEnv) {
			ps.add(at, "begins with "+reservedEnv+", which is Serin's own", "choose another name")
		}
		ps.text(at, v.Env[name])
	}
	if v.Port < 0 || v.Port > math.MaxUint16 {
		ps.add(field+".port", fmt.Sprintf("is %d", v.Port), "write a port from 1 to 65535, or leave it out")
	}
	if !empty && v.Port == 0 && !usesAddress(v.Command, v.Env) {
		ps.warn(field+".command", "tells the program neither $(ADDR) nor $(PORT), so it cannot know where to listen and will hardly become ready",
			"pass one of them as an argument or in env, or name the port it always listens on as port")
	}
}

// text checks one argument or variable.
func (ps *problems) text(field, s string) {
	if strings.ContainsRune(s, 0) {
		ps.add(field, "contains a NUL byte", "remove it")
	}
	if err := checkPlaceholders(s); err != nil {
		ps.add(field, err.Error(), "use $(ADDR), $(PORT) or $(VERSION), or write $$( for a literal $(")
	}
}

func (ps *problems) readiness(r Readiness) {
	if r.Path != "" && !strings.HasPrefix(r.Path, "/") {
		ps.add("readiness.path", fmt.Sprintf("%q does not begin with a slash", r.Path), "write /"+r.Path)
	}
	ps.duration("readiness.initialDelay", r.InitialDelay, 0, time.Hour)
	ps.duration("readiness.interval", r.Interval, 10*time.Millisecond, time.Hour)
	ps.duration("readiness.timeout", r.Timeout, time.Millisecond, time.Minute)
	ps.count("readiness.successes", r.Successes, 1, 100)
	ps.count("readiness.failures", r.Failures, 1, 100)
}

func (ps *problems) lifecycle(s Stop, r Restart) {
	if unix.SignalNum(s.Signal) == 0 {
		ps.add("stop.signal", fmt.Sprintf("%q is not a signal", s.Signal), "write a name such as SIGTERM, SIGINT or SIGQUIT")
	}
	ps.duration("stop.grace", s.Grace, 0, time.Hour)
	ps.duration("restart.backoff", r.Backoff, time.Millisecond, time.Hour)
	ps.duration("restart.maxBackoff", r.MaxBackoff, time.Millisecond, time.Hour)
	if r.MaxBackoff < r.Backoff {
		ps.add("restart.maxBackoff", fmt.Sprintf("is %v, below backoff (%v)", r.MaxBackoff, r.Backoff), "write at least backoff")
	}
	ps.duration("restart.resetAfter", r.ResetAfter, time.Millisecond, 24*time.Hour)
	ps.count("restart.max", r.Max, 1, 1000)
}

func (ps *problems) logs(l Logs) {
	if size, err := parseSize(l.MaxSize); err != nil {
		ps.add("logs.maxSize", err.Error(), "write a size such as 10MiB")
	} else if size < 4<<10 {
		ps.add("logs.maxSize", fmt.Sprintf("is %s", l.MaxSize), "write at least 4KiB")
	}
	ps.count("logs.keep", l.Keep, 0, 100)
}

func (ps *problems) duration(field string, d rollout.Duration, low, high time.Duration) {
	if time.Duration(d) < low || time.Duration(d) > high {
		ps.add(field, fmt.Sprintf("is %v", d), fmt.Sprintf("write a duration from %v to %v", low, high))
	}
}

func (ps *problems) count(field string, n, low, high int) {
	if n < low || n > high {
		ps.add(field, fmt.Sprintf("is %d", n), fmt.Sprintf("write a number from %d to %d", low, high))
	}
}

// parseSize reads a size in bytes: "10MiB", "500KB", "4096".
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGiB")
	units := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	unit, known := units[s[len(digits):]]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return n * unit, nil
}
