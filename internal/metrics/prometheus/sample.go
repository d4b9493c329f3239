package prometheus

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	logged "serin.dev/serin/internal/exceptions"
	"serin.dev/serin/internal/rollout"
)

// tick collects what both arms did.
type tick struct {
	plan  plan
	arms  map[rollout.Arm]*figures
	usage map[rollout.Arm]*used
}

// figures are one arm's increments.
type figures struct {
	traffic
	byInstance map[string]*traffic
	exceptions map[exception]float64
	complaints float64
	business   map[string]map[signal]float64
}

type traffic struct {
	requests, errors float64
	latency          histogram
}

type exception struct {
	class, instance string
	critical        bool
}

func newTick(p plan) *tick {
	t := &tick{plan: p, arms: map[rollout.Arm]*figures{}}
	for _, arm := range arms {
		t.arms[arm] = &figures{byInstance: map[string]*traffic{}, exceptions: map[exception]float64{}, business: map[string]map[signal]float64{}}
	}
	return t
}

func (f *figures) instance(name string) *traffic {
	if f.byInstance[name] == nil {
		f.byInstance[name] = &traffic{}
	}
	return f.byInstance[name]
}

// count takes in readings over their spans. aside says that they are for
// instances alone.
func (t *tick) count(l *ledger, readings []reading, spans map[target]span, aside bool) {
	for _, r := range readings {
		f := t.arms[r.arm]
		for _, s := range r.numbers {
			if by, counted := l.counter(r).advance(s, spans[s.target]); counted {
				t.number(f, r.query, s, by, aside)
			}
		}
		for _, s := range r.histograms {
			by, counted := l.histogram(r).advance(s, spans[s.target])
			if !counted {
				continue
			}
			if !aside {
				f.latency = f.latency.plus(by)
			}
			if name := instanceOf(r.query, s); name != "" {
				i := f.instance(name)
				i.latency = i.latency.plus(by)
			}
		}
	}
}

func (t *tick) number(f *figures, q query, s series[float64], by float64, aside bool) {
	instance := instanceOf(q, s)
	switch q.signal {
	case requests, errored:
		add := func(to *traffic) {
			if q.signal == requests {
				to.requests += by
			} else {
				to.errors += by
			}
		}
		if !aside {
			add(&f.traffic)
		}
		if instance != "" {
			add(f.instance(instance))
		}
	case exceptions:
		class := string(s.labels[model.LabelName(t.plan.class)])
		if class == "" {
			class = "unknown"
		}
		critical := s.labels[model.LabelName(t.plan.critical)] == "true"
		if t.plan.critical == "" {
			critical = logged.Critical(class)
		}
		f.exceptions[exception{class, instance, critical}] += by
	case complaints:
		f.complaints += by
	default:
		if f.business[q.business] == nil {
			f.business[q.business] = map[signal]float64{}
		}
		f.business[q.business][q.signal] += by
	}
}

func instanceOf[T any](q query, s series[T]) string {
	if q.instance == "" {
		return ""
	}
	return string(s.labels[model.LabelName(q.instance)])
}

// samples writes the tick. An arm is measured when one of the targets that have
// its series was scraped; while it has had none, and its series are not bound to
// pods of its own, when any was: then it has done nothing yet.
func (s *Source) samples(t *tick, moved map[rollout.Arm]bool, spans map[target]span, groups map[rollout.Arm]Group) rollout.Arms {
	write := func(arm rollout.Arm) *rollout.Sample {
		measured, had := moved[arm]
		if !had {
			measured = len(spans) > 0 && s.shared(arm, groups[arm])
		}
		if !measured {
			return nil
		}
		return t.sample(arm, s.state.excess[arm], groups[arm])
	}
	out := rollout.Arms{Stable: write(rollout.Stable), Canary: write(rollout.Canary)}
	if groups[rollout.Baseline].Instances > 0 {
		out.Baseline = write(rollout.Baseline)
	}
	return out
}

// shared says that the arm's series, once there are any, may be found where
// the other's are.
func (s *Source) shared(arm rollout.Arm, g Group) bool {
	q := s.plan.counts[0]
	if _, known := s.render(q, arm, g); !known {
		return false
	}
	return !slices.Contains(q.selector.needs(), pods)
}

func (t *tick) sample(arm rollout.Arm, over *excess, g Group) *rollout.Sample {
	f := t.arms[arm]
	out := &rollout.Sample{}
	names := map[string]bool{}
	var had, failed, timed bool
	for _, q := range t.plan.counts {
		switch q.signal {
		case requests:
			had = true
		case errored:
			failed = true
		case latency:
			timed = true
		case exceptions:
			out.Exceptions = f.exceptionList()
		case complaints:
			out.Complaints = new(f.complaints)
		default:
			addBusiness(out, q, f.business[q.business][q.signal], over)
		}
	}
	if had {
		out.Requests = new(f.requests)
	}
	if failed {
		out.Errors = new(over.of("").settle(f.requests, f.errors, had))
	}
	if timed {
		out.Latency = f.latency.sample(t.plan.unit.seconds())
	}
	unit := t.plan.unit
	if len(t.plan.byInstance) > 0 {
		unit = t.plan.instanceUnit
	}
	for _, name := range slices.Sorted(maps.Keys(f.byInstance)) {
		i := f.byInstance[name]
		names[name] = true
		in := &rollout.InstanceSample{}
		if had {
			in.Requests = new(i.requests)
		}
		if failed {
			in.Errors = new(over.of(name).settle(i.requests, i.errors, had))
		}
		if i.latency.count > 0 {
			in.Latency = &rollout.Histogram{Count: new(i.latency.count), Sum: new(max(0, i.latency.sum) * unit.seconds())}
		}
		if out.ByInstance == nil {
			out.ByInstance = map[string]*rollout.InstanceSample{}
		}
		out.ByInstance[name] = in
	}
	if u := t.usage[arm]; u != nil {
		out.CPU, out.Memory, out.MemoryLimit = u.cpu, u.memory, u.limit
		for name := range u.memory {
			names[name] = true
		}
	}
	switch {
	case g.Instances > 0:
		out.Instances = new(g.Instances)
	case len(names) > 0:
		out.Instances = new(len(names))
	}
	return out
}

func (f *figures) exceptionList() []rollout.Exception {
	out := []rollout.Exception{} // none is a figure as well
	for e, n := range f.exceptions {
		if n > 0 {
			out = append(out, rollout.Exception{Class: e.class, Instance: e.instance, Count: n, Critical: e.critical})
		}
	}
	slices.SortFunc(out, func(a, b rollout.Exception) int {
		return strings.Compare(a.Class+"\x00"+a.Instance, b.Class+"\x00"+b.Instance)
	})
	return out
}

// excess are counts that came before what they are a part of: errors before
// their requests, successes before their trials. Where the two have counters of
// their own, a scrape may fall between them. They come with the next tick.
type excess struct{ parts map[string]*carried }

type carried struct{ n float64 }

func newExcess() *excess { return &excess{parts: map[string]*carried{}} }

// of is what is carried for the whole arm (""), an instance or another part.
func (e *excess) of(part string) *carried {
	if e.parts[part] == nil {
		e.parts[part] = &carried{}
	}
	return e.parts[part]
}

// settle returns how much of part and what was carried fits into whole.
func (c *carried) settle(whole, part float64, bounded bool) float64 {
	part += c.n
	if !bounded || part <= whole {
		c.n = 0
		return part
	}
	c.n = part - whole
	return whole
}

func addBusiness(s *rollout.Sample, q query, n float64, over *excess) {
	if s.Business == nil {
		s.Business = map[string]rollout.BusinessSample{}
	}
	b := s.Business[q.business]
	switch q.signal {
	case trials:
		b.Trials = new(n)
	case successes:
		b.Successes = new(over.of("business "+q.business).settle(*b.Trials, n, true))
	case count:
		b.Count = new(n)
	case sum:
		b.Sum = new(n)
	case sumSquares:
		b.SumSquares = new(n)
	}
	s.Business[q.business] = b
}
