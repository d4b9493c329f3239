package proxy

import (
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
)

// Arm is one of the two versions that serve side by side.
type Arm string

// The arms, of two versions.
const (
	Stable Arm = "stable"
	Canary Arm = "canary"
	// Baseline is fresh instances of stable's version, to compare the canary with.
	Baseline Arm = "baseline"
)

// Backend is one instance of an arm. URL is http://host:port, https://host:port
// or h2c://host:port (HTTP/2 without TLS).
type Backend struct {
	Name string
	URL  string
}

// Split is the whole routing state: how many percent of the requests go to the
// canary, how many to the baseline if there is one, and the arms' instances.
type Split struct {
	Weight         int
	Stable, Canary []Backend

	BaselineWeight int
	Baseline       []Backend
}

func (s Split) clone() Split {
	s.Stable, s.Canary, s.Baseline = slices.Clone(s.Stable), slices.Clone(s.Canary), slices.Clone(s.Baseline)
	return s
}

func (s Split) validate() error {
	if s.Weight < 0 || s.Weight > 100 {
		return fmt.Errorf("proxy split: weight is %d; it must be 0 to 100", s.Weight)
	}
	if s.BaselineWeight < 0 || s.Weight+s.BaselineWeight > 100 {
		return fmt.Errorf("proxy split: the baseline's weight is %d beside the canary's %d; it must be 0 to %d", s.BaselineWeight, s.Weight, 100-s.Weight)
	}
	if s.BaselineWeight > 0 && len(s.Baseline) == 0 {
		return fmt.Errorf("proxy split: the baseline gets %d %% of the requests but has no backend; name one", s.BaselineWeight)
	}
	if s.Weight < 100 && len(s.Stable) == 0 {
		return fmt.Errorf("proxy split: stable gets %d %% of the requests but has no backend; name one", 100-s.Weight)
	}
	if s.Weight > 0 && len(s.Canary) == 0 {
		return fmt.Errorf("proxy split: canary gets %d %% of the requests but has no backend; name one", s.Weight)
	}
	for _, arm := range []struct {
		name     Arm
		backends []Backend
	}{{Stable, s.Stable}, {Canary, s.Canary}, {Baseline, s.Baseline}} {
		seen := make(map[string]bool)
		for i, b := range arm.backends {
			if b.Name == "" {
				return fmt.Errorf("proxy split: %s backend %d has no name", arm.name, i)
			}
			if seen[b.Name] {
				return fmt.Errorf("proxy split: two %s backends are named %q; names must differ", arm.name, b.Name)
			}
			seen[b.Name] = true
			if _, err := parseBackendURL(b.URL); err != nil {
				return fmt.Errorf("proxy split: %s backend %q: %w", arm.name, b.Name, err)
			}
		}
	}
	return nil
}

func parseBackendURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading its URL: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return nil, fmt.Errorf("URL %q: the scheme must be http, https or h2c", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q has no host", u.Redacted())
	case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("URL %q: only scheme, host and port belong here", u.Redacted())
	}
	return u, nil
}

// sequence deals requests to the arms exactly. Request number n (from 0) goes
// to the canary when the line weight·n/100 crosses a whole number at n+1, so
// every run of k requests, wherever it begins, has ⌊kw/100⌋ or ⌈kw/100⌉ canary
// requests, and the first k have never more than kw/100. No other sequence is
// as even; none with chance in it comes close.
//
// The rest is dealt to the baseline in the same way, so its requests lie between
// the canary's.
type sequence struct {
	weight, baseline uint64
	n                atomic.Uint64
}

func newSequence(weight, baseline int) *sequence {
	return &sequence{weight: uint64(weight), baseline: uint64(baseline)}
}

func (s *sequence) next() Arm {
	switch {
	case s.weight == 0 && s.baseline == 0:
		return Stable
	case s.weight == 100:
		return Canary
	}
	return s.at(s.n.Add(1) - 1)
}

// at is whose request number n is. The pattern repeats every hundred requests, so
// the position within the hundred is enough.
func (s *sequence) at(n uint64) Arm {
	n %= 100
	before := n * s.weight / 100
	if (n+1)*s.weight/100 > before {
		return Canary
	}
	rest := 100 - s.weight
	if m := n - before; (m+1)*s.baseline/rest > m*s.baseline/rest {
		return Baseline
	}
	return Stable
}
