package prometheus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"serin.dev/serin/internal/rollout"
)

// program is a process that counts requests and errors, and is scraped. What
// it counted between a scrape and its end is known to nobody.
type program struct {
	target   target
	arm      rollout.Arm
	requests float64
	errors   float64 // its series appears with the first error
	scraped  map[string][]point[float64]
	// tells says that it tells when it started; restarts are then the scrapes
	// before which it began anew.
	tells    bool
	restarts []int64
}

func (p *program) scrape(at int64) {
	add := func(name string, v float64) { p.scraped[name] = append(p.scraped[name], point[float64]{at, v}) }
	add("requests", p.requests)
	if p.errors > 0 {
		add("errors", p.errors)
	}
}

// world is a few programs and a clock, in milliseconds.
type world struct {
	now      int64
	programs []*program
}

func (w *world) read(q signal, window int64) []reading {
	out := []reading{{arm: rollout.Stable, query: query{field: string(q), signal: q}}, {arm: rollout.Canary, query: query{field: string(q), signal: q}}}
	for _, p := range w.programs {
		s := series[float64]{key: string(q) + p.target.instance, target: p.target, labels: model.Metric{}}
		for _, sample := range p.scraped[string(q)] {
			if sample.at > w.now-window {
				s.points = append(s.points, sample)
			}
		}
		if len(s.points) == 0 {
			continue
		}
		i := 0
		if p.arm == rollout.Canary {
			i = 1
		}
		out[i].numbers = append(out[i].numbers, s)
	}
	return out
}

// began says whether a program is known to have begun anew after one scrape, up
// to another.
func (p *program) began(after, upTo int64) bool {
	return slices.ContainsFunc(p.restarts, func(at int64) bool { return after < at && at <= upTo })
}

// Whatever is scraped late, missed or begun anew: the ticks of a target add up
// to what its scrapes say, nothing twice and nothing lost, and no tick has more
// errors than requests.
func TestTicksAddUpToWhatWasScraped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: 1_000_000}
		for i := range rapid.IntRange(1, 4).Draw(t, "programs") {
			arm := arms[i%2]
			w.programs = append(w.programs, &program{
				target: target{"job", fmt.Sprint(i)}, arm: arm, scraped: map[string][]point[float64]{},
				tells: rapid.Bool().Draw(t, "tells its start"),
			})
		}
		began := w.now
		l := newLedger()
		want, got := map[*program][2]float64{}, map[string]float64{}
		for _, p := range w.programs {
			p.scrape(w.now)
		}
		collect := func(hidden map[*program]int64, missed map[*program]bool) {
			all := append(w.read(requests, 600_000), w.read(errored, 600_000)...)
			now := time.UnixMilli(w.now)
			// What was there before the readings were asked.
			reached := reach{at: w.now, ends: map[target]int64{}}
			for _, p := range w.programs {
				if end := lastUpTo(p.scraped["requests"], hidden[p]-1); hidden[p] > 0 && end > 0 {
					reached.ends[p.target] = end
				} else if hidden[p] == 0 && !missed[p] {
					reached.ends[p.target] = lastUpTo(p.scraped["requests"], w.now)
				}
			}
			spans := l.spans(reached, all, began)
			if len(l.missing(spans, now)) > 0 {
				return
			}
			for _, p := range w.programs {
				s := spans[p.target]
				for _, at := range p.restarts {
					if s.from < at && at <= s.to {
						s.restarts = append(s.restarts, at)
					}
				}
				spans[p.target] = s
			}
			for _, r := range all {
				for _, s := range r.numbers {
					before := got[s.key]
					if by, counted := l.counter(r).advance(s, spans[s.target]); counted {
						if by < 0 {
							t.Fatalf("%s: an increment of %v", s.key, by)
						}
						got[s.key] = before + by
					}
				}
			}
			l.commit(all, spans, now)
			for _, p := range w.programs {
				if got["errors"+p.target.instance] > got["requests"+p.target.instance] {
					t.Fatalf("%s: more errors than requests", p.target.instance)
				}
			}
		}
		collect(nil, nil)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.now += int64(rapid.IntRange(500, 3000).Draw(t, "wait"))
			hidden, missed := map[*program]int64{}, map[*program]bool{}
			for _, p := range w.programs {
				n := float64(rapid.IntRange(0, 50).Draw(t, "requests"))
				bad := float64(rapid.IntRange(0, int(n)).Draw(t, "errors"))
				p.requests += n
				p.errors += bad
				switch rapid.SampledFrom([]string{"scraped", "scraped", "scraped", "missed", "restarted", "late"}).Draw(t, "fate") {
				case "restarted":
					// The new life is told from the old by its start, else by its
					// first figure.
					p.requests, p.errors = 0, 0
					if p.tells {
						p.requests, p.errors = n, bad
						p.restarts = append(p.restarts, w.now)
					}
					p.scrape(w.now)
				case "scraped":
					p.scrape(w.now)
				case "missed":
					missed[p] = true // its series have no value now
				case "late":
					// Not there yet when the first question was asked.
					p.scrape(w.now)
					hidden[p] = w.now
				}
			}
			if rapid.Bool().Draw(t, "tick") {
				collect(hidden, missed)
			}
		}
		// One more scrape of all, and patience is over.
		w.now += 1000
		for _, p := range w.programs {
			p.scrape(w.now)
			sums := [2]float64{}
			for i, name := range []string{"requests", "errors"} {
				last := point[float64]{}
				for _, s := range p.scraped[name] {
					if s.value < last.value || p.began(last.at, s.at) {
						last.value = 0
					}
					sums[i] += s.value - last.value
					last = s
				}
			}
			want[p] = sums
		}
		collect(nil, nil)
		for p, sums := range want {
			for i, name := range []string{"requests", "errors"} {
				if g := got[name+p.target.instance]; g != sums[i] {
					t.Errorf("%s of %s: ticks add up to %v, its scrapes to %v", name, p.target.instance, g, sums[i])
				}
			}
		}
	})
}

func at(s float64) int64 { return 1_000_000 + int64(s*1000) }

func TestATargetIsWaitedForOverOneMissedScrape(t *testing.T) {
	l := newLedger()
	t1, t2 := target{"shop", "a"}, target{"shop", "b"}
	read := func(ends map[target]float64) []reading {
		r := reading{arm: rollout.Stable, query: query{field: "requests", signal: requests}}
		for t, end := range ends {
			s := series[float64]{key: t.instance, target: t}
			for x := 0.0; x <= end; x += 5 {
				s.points = append(s.points, point[float64]{at(x), x})
			}
			r.numbers = append(r.numbers, s)
		}
		return []reading{r}
	}
	look := func(now float64, ends map[target]float64) bool {
		all := read(ends)
		reached := reach{at: at(now), ends: map[target]int64{}}
		for t, end := range ends {
			reached.ends[t] = at(end)
		}
		spans := l.spans(reached, all, at(0))
		if len(l.missing(spans, time.UnixMilli(at(now)))) > 0 {
			return false
		}
		l.commit(all, spans, time.UnixMilli(at(now)))
		return true
	}
	for _, c := range []struct {
		now    float64
		ends   map[target]float64
		closed bool
	}{
		{10, map[target]float64{t1: 10, t2: 10}, true},
		{15, map[target]float64{t1: 15, t2: 10}, false}, // b's scrape is late
		{20, map[target]float64{t1: 20, t2: 10}, false}, // it was missed
		{22, map[target]float64{t1: 20, t2: 20}, true},  // the next has come
		{30, map[target]float64{t1: 30, t2: 20}, false},
		{35, map[target]float64{t1: 35, t2: 20}, true}, // b is gone
		{40, map[target]float64{t1: 40, t2: 20}, true},
		{45, map[target]float64{t1: 45, t2: 45}, true}, // and comes back
	} {
		if closed := look(c.now, c.ends); closed != c.closed {
			t.Errorf("at %v s with samples up to %v: closed %v, want %v", c.now, c.ends, closed, c.closed)
		}
	}
}

func TestACounterThatIsMetFirst(t *testing.T) {
	points := []point[float64]{{at(10), 7}, {at(15), 9}}
	for _, c := range []struct {
		name string
		over span
		want float64
	}{
		{"began in the tick", span{from: at(5), to: at(15), origin: true}, 9},
		{"is older, nobody knows how old", span{to: at(15)}, 2},
		{"was there before", span{from: at(10), to: at(15), origin: true}, 2},
		{"goes on in the next tick", span{from: at(5), to: at(10), origin: true}, 7},
	} {
		s := series[float64]{key: "a", points: points}
		if by, _ := newCounters().advance(s, c.over); by != c.want {
			t.Errorf("%s: counted %v, want %v", c.name, by, c.want)
		}
	}
}

func TestAProgramThatIsKnownToHaveStartedAnewCountsFromZero(t *testing.T) {
	c := newCounters()
	c.advance(series[float64]{key: "a", points: []point[float64]{{at(0), 0}, {at(5), 5}}}, span{from: at(0), to: at(5)})
	// It has passed its old value before it was scraped again.
	again := series[float64]{key: "a", points: []point[float64]{{at(5), 5}, {at(10), 8}, {at(15), 10}}}
	if by, _ := c.advance(again, span{from: at(5), to: at(15), restarts: []int64{at(7)}}); by != 10 {
		t.Errorf("counted %v, want the 10 of its second life", by)
	}
}

// A program that began anew has no series of errors until it fails again.
func TestAProgramThatStartedAnewCountsASeriesThatComesBackLaterFromZero(t *testing.T) {
	l := newLedger()
	shop := target{"shop", "a"}
	var all, failed []point[float64]
	counted := 0.0
	tick := func(s, served, errors float64, restarts ...int64) {
		all = append(all, point[float64]{at(s), served})
		if errors > 0 {
			failed = append(failed, point[float64]{at(s), errors})
		}
		read := reading{query: query{field: "requests", signal: requests}, arm: rollout.Canary, numbers: []series[float64]{
			{key: "all", target: shop, points: all},
			{key: "failed", target: shop, points: failed},
		}}
		if len(failed) == 0 {
			read.numbers = read.numbers[:1]
		}
		spans := l.spans(reach{at: at(s), ends: map[target]int64{shop: at(s)}}, []reading{read}, at(0))
		over := spans[shop]
		over.restarts = append(over.restarts, restarts...)
		spans[shop] = over
		for _, s := range read.numbers {
			if by, _ := l.counter(read).advance(s, over); s.key == "failed" {
				counted += by
			}
		}
		l.commit([]reading{read}, spans, time.UnixMilli(at(s)))
	}
	tick(0, 0, 0)
	tick(5, 100, 20)
	tick(10, 300, 0, at(10)) // it has passed its old requests, and not failed yet
	tick(15, 400, 0)
	tick(20, 500, 50)
	if counted != 70 {
		t.Errorf("counted %v errors, want the 20 of its first life and the 50 of its second", counted)
	}
	tick(25, 600, 55)
	if counted != 75 {
		t.Errorf("counted %v errors, want 5 more than before", counted)
	}
}
