package httpfigures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

const (
	// maxBody bounds an answer in bytes, maxFigures the figures of a version.
	maxBody    = 1 << 20
	maxFigures = 100
)

// Env is what a source needs to know about where it runs.
type Env struct {
	// Versions are the arms' versions, by which the endpoint tells them apart.
	Versions func(context.Context) (map[rollout.Arm]string, error)
	Logger   *slog.Logger
}

// Source reads both arms' business figures. It asks once a tick and never again:
// counters forget nothing, and the next tick's answer holds what one lacked.
type Source struct {
	cfg    Config
	env    Env
	client *http.Client
	log    *slog.Logger
	// last is how far each version has been counted; nil before the first
	// answer.
	last map[string]figures
	// told are the figures that have been said to be of no use.
	told map[string]bool
}

var _ metrics.Source = (*Source)(nil)

// figures are one version's.
type figures struct {
	Business   map[string]rollout.BusinessSample `json:"business"`
	Complaints *float64                          `json:"complaints"`
}

// New makes a source; it asks nothing yet.
func New(cfg Config, env Env) (*Source, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("business.http: %s %s; %s", p.Field, p.Message, p.Mend)
		}
	}
	s := &Source{cfg: cfg, env: env, log: env.Logger, told: map[string]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.client = guarded.NewClient(guarded.Options{Timeout: time.Duration(cfg.Timeout), MaxBody: maxBody, Proxy: true})
	return s, nil
}

// Collect implements metrics.Source. A version that the answer lacks was not
// measured; one that is new in it is counted from zero.
func (s *Source) Collect(ctx context.Context, _, _ time.Time) (rollout.Arms, error) {
	versions, err := s.env.Versions(ctx)
	if err != nil {
		return rollout.Arms{}, fmt.Errorf("ask which versions the arms have: %w", err)
	}
	if versions[rollout.Stable] == versions[rollout.Canary] {
		return rollout.Arms{}, fmt.Errorf("both arms are called %q, so the figures cannot be told apart; give the versions different names", versions[rollout.Stable])
	}
	now, err := s.ask(ctx)
	if err != nil {
		return rollout.Arms{}, err
	}
	first := s.last == nil
	if first {
		s.last = map[string]figures{}
	}
	var arms rollout.Arms
	for arm, into := range map[rollout.Arm]**rollout.Sample{rollout.Stable: &arms.Stable, rollout.Canary: &arms.Canary} {
		version := versions[arm]
		seen, has := now[version]
		if !has {
			continue
		}
		sample := s.advance(version, seen)
		if !first {
			*into = sample
		}
	}
	return arms, nil
}

// advance returns what a version did since it was counted last.
func (s *Source) advance(version string, now figures) *rollout.Sample {
	before, counted := s.last[version], figures{Business: map[string]rollout.BusinessSample{}}
	out := &rollout.Sample{}
	if now.Complaints != nil {
		out.Complaints = new(increment(*now.Complaints, before.Complaints))
		counted.Complaints = now.Complaints
	}
	for name, b := range now.Business {
		by, upTo, err := difference(b, before.Business[name])
		if err != nil {
			if !s.told[name] {
				s.told[name] = true
				s.log.Warn("a business figure is of no use", "figure", name, "version", version, "error", err)
			}
			continue
		}
		if out.Business == nil {
			out.Business = map[string]rollout.BusinessSample{}
		}
		out.Business[name], counted.Business[name] = by, upTo
	}
	s.last[version] = counted
	return out
}

// increment is what a counter grew by; one that is lower than before began anew.
func increment(now float64, before *float64) float64 {
	if before == nil || now < *before {
		return now
	}
	return now - *before
}

// difference is what a figure grew by and how far that has counted it. Where a
// part has grown beyond its whole, as when the two were read at different
// moments, the rest comes with the next tick.
func difference(now, before rollout.BusinessSample) (by, upTo rollout.BusinessSample, err error) {
	part := func(whole, part, wholeBefore, partBefore *float64, most float64) (wholeBy, partBy, partUpTo float64) {
		if wholeBefore == nil || partBefore == nil || *whole < *wholeBefore {
			wholeBefore, partBefore = new(0.), new(0.)
		}
		wholeBy = *whole - *wholeBefore
		partBy = max(0, min(*part-*partBefore, wholeBy*most))
		return wholeBy, partBy, *partBefore + partBy
	}
	switch {
	case now.Trials != nil && now.Successes != nil:
		n, x, reached := part(now.Trials, now.Successes, before.Trials, before.Successes, 1)
		return rollout.BusinessSample{Trials: &n, Successes: &x}, rollout.BusinessSample{Trials: now.Trials, Successes: &reached}, nil
	case now.Count != nil && now.Sum != nil && now.Max != nil:
		if *now.Max <= 0 {
			return by, upTo, errors.New("max is no largest score; write a number above 0")
		}
		n, x, reached := part(now.Count, now.Sum, before.Count, before.Sum, *now.Max)
		return rollout.BusinessSample{Count: &n, Sum: &x, Max: now.Max}, rollout.BusinessSample{Count: now.Count, Sum: &reached}, nil
	case now.Count != nil && now.Sum != nil && now.SumSquares != nil:
		if before.Count == nil || before.Sum == nil || before.SumSquares == nil || *now.Count < *before.Count || *now.SumSquares < *before.SumSquares {
			before = rollout.BusinessSample{Count: new(0.), Sum: new(0.), SumSquares: new(0.)}
		}
		return rollout.BusinessSample{
			Count: new(*now.Count - *before.Count), Sum: new(*now.Sum - *before.Sum), SumSquares: new(*now.SumSquares - *before.SumSquares),
		}, now, nil
	}
	return by, upTo, errors.New("it is neither trials and successes, nor count, sum and sumSquares, nor count, sum and max")
}

// ask reads the endpoint.
func (s *Source) ask(ctx context.Context) (map[string]figures, error) {
	req, scrubber, err := s.cfg.target().Request(ctx, http.MethodGet, nil, credential.Secret{})
	if err != nil {
		return nil, fmt.Errorf("ask for business figures: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	failed := func(err error) error {
		return fmt.Errorf("ask for business figures: %s", scrubber.Scrub(guarded.Explain(ctx, err)))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, failed(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for business figures: the endpoint answered %d %s, not 200", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	out, err := read(body)
	if err != nil {
		return nil, fmt.Errorf("the answer with business figures: %s", scrubber.Scrub(err.Error()))
	}
	return out, nil
}

// read reads an answer strictly: a field that is misspelt would be a figure that
// is never judged.
func read(body []byte) (map[string]figures, error) {
	var answer struct {
		Versions map[string]figures `json:"versions"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("%w; write {\"versions\": {\"v1\": {\"business\": {\"conversion\": {\"trials\": 900, \"successes\": 31}}, \"complaints\": 0}}}", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after its end; write one JSON object")
	}
	if answer.Versions == nil {
		return nil, errors.New("has no versions; write the figures by version under it")
	}
	for version, f := range answer.Versions {
		if len(f.Business) > maxFigures {
			return nil, fmt.Errorf("version %s has %d figures; at most %d are read", short(version), len(f.Business), maxFigures)
		}
		if f.Complaints != nil && *f.Complaints < 0 {
			return nil, fmt.Errorf("complaints of version %s is %v; write how many there have been, 0 or more", short(version), *f.Complaints)
		}
		for name, b := range f.Business {
			for field, v := range map[string]*float64{"trials": b.Trials, "successes": b.Successes, "count": b.Count, "sumSquares": b.SumSquares} {
				if v != nil && *v < 0 {
					return nil, fmt.Errorf("%s of %s of version %s is %v; write how many there have been, 0 or more", field, short(name), short(version), *v)
				}
			}
		}
	}
	return answer.Versions, nil
}

// short keeps a name that somebody else wrote readable in a message.
func short(name string) string {
	name = strings.ToValidUTF8(name, "")
	if r := []rune(name); len(r) > 60 {
		return fmt.Sprintf("%q…", string(r[:60]))
	}
	return fmt.Sprintf("%q", name)
}

// Close implements metrics.Source.
func (s *Source) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
