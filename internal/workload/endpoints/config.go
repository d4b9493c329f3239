package endpoints

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Config is what a file says under workload.endpoints.
type Config struct {
	// Stable is the version that serves before the first run.
	Stable Version `json:"stable"`
	// Canary is the candidate of "serin run". "serin release" names its own.
	Canary Version `json:"canary,omitzero"`
	// Health says how a URL shows that it can take requests.
	Health Health `json:"health"`
}

// Version is one version and where it runs.
type Version struct {
	// Version is the label by which people and reports call it, such as v2.
	Version string `json:"version"`
	// URLs are its instances, such as http://127.0.0.1:9001; https:// and h2c://
	// (HTTP/2 without TLS) as well. Together they can take all traffic.
	URLs []string `json:"urls"`
}

// Health is how a URL shows that it can take requests.
type Health struct {
	// Path is asked for by HTTP GET and must answer 2xx or 3xx. Without it, a
	// TCP connection must be accepted.
	Path string `json:"path,omitempty"`
	// Interval is the time between probes; the first ones come faster.
	Interval rollout.Duration `json:"interval"`
	// Timeout bounds one probe.
	Timeout rollout.Duration `json:"timeout"`
	// Successes in a row make a URL ready.
	Successes int `json:"successes"`
	// Failures in a row make it not ready.
	Failures int `json:"failures"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any {
	return &Config{Health: Health{
		Interval:  rollout.Duration(time.Second),
		Timeout:   rollout.Duration(time.Second),
		Successes: 1,
		Failures:  3,
	}}
}

func (v Version) isZero() bool { return v.Version == "" && len(v.URLs) == 0 }

// release is v as a run speaks of it.
func (v Version) release() workload.Version {
	return workload.Version{Version: v.Version, URLs: v.URLs}
}

// label is what a version may be called.
var label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?$`)

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	var ps problems
	seen := map[string]string{} // by URL: the field that has it
	ps.version("stable", c.Stable, seen)
	if !c.Canary.isZero() {
		ps.version("canary", c.Canary, seen)
		if c.Canary.Version == c.Stable.Version {
			ps.add("canary.version", fmt.Sprintf("is %q like stable's", c.Canary.Version), "give the candidate a label of its own, such as v2")
		}
	}
	ps.health(c.Health)
	return ps
}

type problems []rollout.Problem

func (ps *problems) add(field, message, mend string) {
	*ps = append(*ps, rollout.Problem{Field: field, Message: message, Mend: mend})
}

func (ps *problems) version(field string, v Version, seen map[string]string) {
	switch {
	case v.Version == "":
		ps.add(field+".version", "is missing", "name the version, such as v1")
	case !label.MatchString(v.Version):
		ps.add(field+".version", fmt.Sprintf("%q is not a plain label", v.Version),
			"use at most 63 letters, digits, dots, dashes, pluses and underscores, such as v1.4.2")
	}
	if len(v.URLs) == 0 {
		ps.add(field+".urls", "is empty", "write where this version runs, such as [http://127.0.0.1:9001]")
	}
	for n, raw := range v.URLs {
		at := fmt.Sprintf("%s.urls[%d]", field, n)
		if message, mend := checkURL(raw); message != "" {
			ps.add(at, message, mend)
			continue
		}
		key := strings.TrimSuffix(raw, "/")
		if other, ok := seen[key]; ok {
			ps.add(at, "is also "+other, "name every instance once; two versions cannot share one")
		}
		seen[key] = at
	}
}

// checkURL says what is wrong with an instance's URL; it never repeats a
// password.
func checkURL(raw string) (message, mend string) {
	const example = "write scheme, host and port only, such as http://127.0.0.1:9001"
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "is not a URL", example
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return fmt.Sprintf("%q has no scheme http, https or h2c", u.Redacted()), example
	case u.Hostname() == "":
		return fmt.Sprintf("%q has no host", u.Redacted()), example
	case u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return fmt.Sprintf("%q has more than scheme, host and port", u.Redacted()), example
	}
	return "", ""
}

func (ps *problems) health(h Health) {
	if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
		ps.add("health.path", fmt.Sprintf("%q does not begin with a slash", h.Path), "write /"+h.Path)
	}
	ps.duration("health.interval", h.Interval, 10*time.Millisecond, time.Hour)
	ps.duration("health.timeout", h.Timeout, time.Millisecond, time.Minute)
	ps.count("health.successes", h.Successes)
	ps.count("health.failures", h.Failures)
}

func (ps *problems) duration(field string, d rollout.Duration, low, high time.Duration) {
	if time.Duration(d) < low || time.Duration(d) > high {
		ps.add(field, fmt.Sprintf("is %v", d), fmt.Sprintf("write a duration from %v to %v", low, high))
	}
}

func (ps *problems) count(field string, n int) {
	if n < 1 || n > 100 {
		ps.add(field, fmt.Sprintf("is %d", n), "write a number from 1 to 100")
	}
}
