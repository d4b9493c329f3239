package prometheus

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

const (
	// lookback is how far the first answers reach: to the last scrape before
	// counting began.
	lookback = 5 * time.Minute
	// atOnce is how many questions are under way at a time.
	atOnce = 4
)

// Source reads both arms' counters from Prometheus.
type Source struct {
	cfg  Config
	env  Env
	plan plan
	http *http.Client
	log  *slog.Logger

	mu sync.Mutex
	// end is the end of the tick before; zero before the first.
	end   time.Time
	state *state

	pacing sync.Mutex
	pace   metrics.Pace
	place  place
}

// state is what was counted since began.
type state struct {
	began int64
	// counts are the tick's own figures, aside those of its instances.
	counts, aside *ledger
	usage         *usage
	// selectors are how the queries read in the tick before.
	selectors map[track]string
	// excess are errors that were counted before their requests.
	excess map[rollout.Arm]*excess
}

var (
	_ metrics.Source = (*Source)(nil)
	_ metrics.Paced  = (*Source)(nil)
)

// New makes a source; it asks nothing yet.
func New(cfg Config, env Env) (*Source, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("prometheus: %s %s; %s", p.Field, p.Message, p.Mend)
		}
	}
	p, _ := newPlan(cfg, env.Cluster)
	s := &Source{cfg: cfg, env: env, plan: p, log: env.Logger, place: place{crowd: env.Crowd}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, q := range p.all() {
		for _, name := range q.selector.needs() {
			if !s.offers(name) {
				return nil, fmt.Errorf("prometheus: %s uses $(%s), which is not known here; use one of $(%s)",
					q.field, name, strings.Join(slices.DeleteFunc(slices.Clone(variables), func(v string) bool { return !s.offers(v) }), "), $("))
			}
		}
	}
	s.http = env.Crowd.client()
	return s, nil
}

// Collect implements metrics.Source.
//
// A tick takes whole scrapes: of every target, those after the last one that
// was taken. Where a target that was there before has no newer scrape yet, the
// tick is not closed: both arms are nil, so that the next one covers the same
// time in both. When the target stays away, the next ticks go on without it,
// and an arm that has no other is nil. In every case the counts come with the
// tick that has the next scrape, for a counter forgets nothing.
func (s *Source) Collect(ctx context.Context, since, now time.Time) (rollout.Arms, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil || since.After(s.end) {
		// What was counted before since belongs to no tick.
		s.state = newState(since)
	}
	s.end = now
	s.place.join()
	arms, err := s.collect(ctx, now)
	if err != nil {
		return rollout.Arms{}, fmt.Errorf("read Prometheus: %w", err)
	}
	return arms, nil
}

func newState(since time.Time) *state {
	return &state{
		began: since.UnixMilli(), counts: newLedger(), aside: newLedger(), usage: newUsage(), selectors: map[track]string{},
		excess: map[rollout.Arm]*excess{rollout.Stable: newExcess(), rollout.Canary: newExcess(), rollout.Baseline: newExcess()},
	}
}

// open returns what asks Prometheus, and which instances the arms have.
func (s *Source) open(ctx context.Context) (*client, map[rollout.Arm]Group, error) {
	groups := map[rollout.Arm]Group{}
	if s.env.Groups != nil {
		var err error
		if groups, err = s.env.Groups(ctx); err != nil {
			return nil, nil, fmt.Errorf("ask which instances the arms have: %w", err)
		}
	}
	c, err := newClient(s.cfg, s.http)
	return c, groups, err
}

func (s *Source) collect(ctx context.Context, now time.Time) (rollout.Arms, error) {
	if err := ctx.Err(); err != nil {
		return rollout.Arms{}, err
	}
	c, groups, err := s.open(ctx)
	if err != nil {
		return rollout.Arms{}, err
	}
	if s.env.Recorded {
		c.at = now
	}
	st := s.state
	window := st.window(now)
	all, spans, err := s.count(ctx, c, st.counts, s.plan.counts, groups, window)
	if err != nil {
		return rollout.Arms{}, err
	}
	if missing := st.counts.missing(spans, now); len(missing) > 0 {
		if missing, err = stillScraped(ctx, c, missing, st.counts); err != nil {
			return rollout.Arms{}, fmt.Errorf("up of the targets: %w", err)
		}
		if len(missing) > 0 {
			s.log.Debug("a target has no newer sample yet; this tick is joined to the next", "job", missing[0].job, "instance", missing[0].instance)
			s.waits()
			return rollout.Arms{}, nil
		}
	}
	tick := newTick(s.plan)
	tick.count(st.counts, all, spans, false)
	measured := st.counts.commit(all, spans, now)
	s.paces(now)
	s.remember(all, groups)
	s.addInstances(ctx, c, groups, tick, now, window)
	s.addUsage(ctx, c, groups, tick, window)
	return s.samples(tick, measured, spans, groups), nil
}

// count asks queries for both arms, and what of the answers a tick takes.
func (s *Source) count(ctx context.Context, c *client, l *ledger, queries []query, groups map[rollout.Arm]Group, window time.Duration) ([]reading, map[target]span, error) {
	var selectors []string
	for _, q := range queries {
		for _, arm := range arms {
			if _, known := s.render(q, arm, groups[arm]); known {
				selectors = append(selectors, q.timed(s.values(arm, groups[arm]))...)
			}
		}
	}
	reached, err := reachOf(ctx, c, selectors)
	if err != nil {
		return nil, nil, fmt.Errorf("%s and the others' latest scrapes: %w", queries[0].field, err)
	}
	all, err := s.read(ctx, c, queries, groups, window)
	if err != nil {
		return nil, nil, err
	}
	spans := l.spans(reached, all, s.state.began)
	if err := learn(ctx, c, l, spans, firstSeen(all), s.state.began, window); err != nil {
		return nil, nil, fmt.Errorf("up and %s of the targets: %w", startTime, err)
	}
	for _, t := range l.strangers(spans) {
		if !spans[t].origin {
			s.log.Info("a target is counted from its first scrape on; what it counted before is left out", "job", t.job, "instance", t.instance)
		}
	}
	return all, spans, nil
}

// window is how far answers must reach back.
func (st *state) window(now time.Time) time.Duration {
	if len(st.counts.targets) == 0 {
		return max(now.Sub(time.UnixMilli(st.began)), 0) + lookback
	}
	oldest, gap := st.counts.oldest(now)
	return time.Duration(now.UnixMilli()-oldest+2*gap)*time.Millisecond + 5*time.Second
}

// read asks queries for both arms. An arm of which a query needs to know more
// than is known now has no series.
func (s *Source) read(ctx context.Context, c *client, queries []query, groups map[rollout.Arm]Group, window time.Duration) ([]reading, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked []reading
	var texts []string
	for _, q := range queries {
		for _, arm := range arms {
			if text, ok := s.render(q, arm, groups[arm]); ok {
				changed := s.state.selectors[track{arm, q.field}] != text
				asked = append(asked, reading{arm: arm, query: q, changed: changed})
				texts = append(texts, text)
			}
		}
	}
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	var failed sync.Once
	var failure error
	for i := range asked {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			r := &asked[i]
			matrix, err := c.raw(ctx, texts[i], window)
			if err != nil {
				failed.Do(func() {
					failure = fmt.Errorf("%s, %s: %w", r.query.field, r.arm, err)
					cancel() // the other answers would be of no use without this one
				})
				return
			}
			if r.query.isHistogram() {
				r.histograms = histograms(matrix, r.query.selector.name)
			} else {
				r.numbers = numbers(matrix)
			}
		})
	}
	wait.Wait()
	return asked, failure
}

// Pace implements metrics.Paced.
func (s *Source) Pace() metrics.Pace {
	s.pacing.Lock()
	defer s.pacing.Unlock()
	return s.pace
}

// paces notes when the targets that are there were last scraped.
func (s *Source) paces(now time.Time) {
	var p metrics.Pace
	for _, t := range s.state.counts.targets {
		cut, gap := time.UnixMilli(t.cut), time.Duration(t.gap)*time.Millisecond
		if t.cut == 0 || now.Sub(cut) > t.patience() {
			continue
		}
		if cut.After(p.At) {
			p.At = cut
		}
		p.Every = max(p.Every, gap)
	}
	p.At = p.At.Add(s.place.later(p.Every))
	s.pacing.Lock()
	defer s.pacing.Unlock()
	s.pace = p
}

func (s *Source) waits() {
	s.pacing.Lock()
	defer s.pacing.Unlock()
	s.pace.Waiting = true
}

// remember notes how the queries of a closed tick read.
func (s *Source) remember(all []reading, groups map[rollout.Arm]Group) {
	for _, r := range all {
		s.state.selectors[track{r.arm, r.query.field}], _ = s.render(r.query, r.arm, groups[r.arm])
	}
}

// addInstances adds what the instances themselves say. Without it, a tick is
// still a tick.
func (s *Source) addInstances(ctx context.Context, c *client, groups map[rollout.Arm]Group, t *tick, now time.Time, window time.Duration) {
	if len(s.plan.byInstance) == 0 {
		return
	}
	l := s.state.aside
	readings, spans, err := s.count(ctx, c, l, s.plan.byInstance, groups, window)
	if err == nil {
		t.count(l, readings, spans, true)
		l.commit(readings, spans, now)
		s.remember(readings, groups)
	}
	if err != nil {
		s.log.Warn("the instances' own figures could not be read", "error", err)
	}
}

func (s *Source) addUsage(ctx context.Context, c *client, groups map[rollout.Arm]Group, t *tick, window time.Duration) {
	if len(s.plan.usage) == 0 {
		return
	}
	readings, err := s.read(ctx, c, s.plan.usage, groups, window)
	if err != nil {
		s.log.Warn("processor time and memory could not be read", "error", err)
		return
	}
	t.usage = s.state.usage.advance(readings)
}

// Close implements metrics.Source.
func (s *Source) Close() error {
	s.mu.Lock()
	s.place.leave()
	s.mu.Unlock()
	if s.env.Crowd == nil {
		s.http.CloseIdleConnections()
	}
	return nil
}
