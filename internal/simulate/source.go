package simulate

import (
	"math"
	"strconv"
	"time"

	"serin.dev/serin/internal/rollout"
)

// What a simulated service does besides, where a plan has checks for it.
const (
	// cores and bytes are what an instance uses; noise is by how much that
	// wanders, forgetting in usageMemory, and usageSpread by how much instances
	// differ.
	cores       = 0.4
	bytes       = 120e6
	usageNoise  = 0.05
	usageSpread = 0.03
	usageMemory = 60.0
	// conversion is the part of requests that convert, complaints that of those
	// that somebody complains of.
	conversion = 0.03
	complaints = 0.0005
	// knownExceptions is how many exceptions of a class that stable has too
	// there are in a request.
	knownExceptions = 0.0005
)

// source draws one run, tick by tick. What it hands out is good until the next
// tick.
type source struct {
	rng      chance
	scenario Scenario
	traffic  Traffic
	interval time.Duration
	plan     signals
	grid     *grid

	stable, canary arm
	// incident is how many ticks of one are left.
	incident int
	wander   float64
	// even makes every tick the expected one: nothing is left to chance.
	even bool
}

// signals are the checks' signals that a plan wants, beyond errors and times.
type signals struct {
	errors, times, cpu, memory, exceptions, complaints bool
	business                                           []string
}

func signalsOf(a rollout.Analysis) signals {
	var s signals
	for _, c := range a.Checks {
		switch c.Type {
		case rollout.ErrorRate:
			s.errors = true
		case rollout.ResponseTime:
			s.times = true
		case rollout.CPU:
			s.cpu = true
		case rollout.Memory:
			s.memory = true
		case rollout.Exceptions:
			s.exceptions = true
		case rollout.Complaints:
			s.complaints = true
		case rollout.Business:
			s.business = append(s.business, c.Name)
		}
	}
	return s
}

// arm is one version's side of a run.
type arm struct {
	name string
	// times are its instances' own shifts of response times, usage of cpu and
	// memory, on the logarithm; noise wanders.
	instances []instance
	dist      distribution
	owed      float64 // errors of a clump that the next tick has

	sample    rollout.Sample
	requests  float64
	errors    float64
	count     int
	histogram rollout.Histogram
	sum       float64
	by        map[string]*rollout.InstanceSample
}

type instance struct {
	name                  string
	times, cpu, memory    float64
	cpuNoise, memoryNoise float64
	requests, seconds     float64
	sample                rollout.InstanceSample
	histogram             rollout.Histogram
}

func newSource(rng chance, s Scenario, t Traffic, a rollout.Analysis) *source {
	t = s.Traffic.apply(t)
	src := &source{
		rng: rng, scenario: s, traffic: t, interval: time.Duration(a.Interval),
		plan: signalsOf(a), grid: newGrid(t),
		stable: arm{name: "stable"}, canary: arm{name: "canary"},
	}
	src.wander = float64(s.Wander) * rng.NormFloat64()
	for _, m := range []*arm{&src.stable, &src.canary} {
		m.dist.grid = src.grid
		m.histogram.Bounds = src.grid.bounds
		m.histogram.Counts = make([]float64, len(src.grid.bounds)+1)
	}
	src.size(&src.stable, t.Instances)
	return src
}

// size brings an arm to so many instances; it never gets smaller.
func (s *source) size(m *arm, n int) {
	for i := len(m.instances); i < n; i++ {
		m.instances = append(m.instances, instance{
			name:   m.name + "-" + strconv.Itoa(i),
			times:  float64(s.scenario.InstanceSpread) * s.rng.NormFloat64(),
			cpu:    usageSpread * s.rng.NormFloat64(),
			memory: usageSpread * s.rng.NormFloat64(),
		})
	}
	m.count = len(m.instances)
}

// canaryInstances is how many the canary needs beside stable's for a weight.
func canaryInstances(stable, weight int) int {
	return max(1, (stable*weight+rollout.Full-1)/rollout.Full)
}

// effect is what a version's faults come to in a tick.
type effect struct {
	errors, times, slowest, conversion, complaints, cpu, memory float64
	exceptions                                                  float64
	critical, any                                               bool
	canaryMissing, stableMissing                                bool
	crashed                                                     int // how often instances have ended by themselves
	down                                                        bool
}

// effectAt sums up the faults that show at a time.
func (s *source) effectAt(since time.Duration, weight int) effect {
	e := effect{errors: 1, conversion: 1, complaints: 1}
	for _, f := range s.scenario.Faults {
		part := f.active(since, weight)
		if part == 0 {
			continue
		}
		e.any = true
		blend := func(ratio float64) float64 {
			if ratio == 0 {
				return 1
			}
			return 1 + (ratio-1)*part
		}
		e.errors *= blend(f.Errors)
		e.times += math.Log(blend(f.ResponseTime))
		e.slowest += math.Log(blend(f.Slowest))
		e.conversion *= blend(f.Conversion)
		e.complaints *= blend(f.Complaints)
		e.cpu += math.Log(blend(f.CPU))
		e.memory += math.Log(blend(f.Memory))
		e.memory += math.Log1p(float64(f.Leak) * (since - time.Duration(f.After)).Hours())
		e.exceptions += f.Exceptions / 1000 * part
		e.critical = e.critical || f.Critical
		e.canaryMissing = e.canaryMissing || f.NoFigures == MissingCanary || f.NoFigures == MissingBoth
		e.stableMissing = e.stableMissing || f.NoFigures == MissingStable || f.NoFigures == MissingBoth
		if f.CrashEvery > 0 {
			lived := since - time.Duration(f.After)
			e.crashed += int(lived / time.Duration(f.CrashEvery))
			// It takes a tick to come back.
			e.down = e.down || lived%time.Duration(f.CrashEvery) < s.interval && lived >= time.Duration(f.CrashEvery)
		}
	}
	return e
}

// tick draws the interval that ends after since+interval.
func (s *source) tick(since time.Duration, weight int) (rollout.Arms, effect) {
	e := s.effectAt(since, weight)
	t := s.traffic
	s.size(&s.canary, canaryInstances(t.Instances, weight))
	load := t.RequestsPerSecond * s.interval.Seconds()
	if s.scenario.Daily > 0 {
		load *= 1 + float64(s.scenario.Daily)*math.Sin(math.Pi*since.Hours())
	}
	rate, median := float64(t.ErrorRate), math.Log(time.Duration(t.ResponseTime).Seconds())
	if n := s.scenario.Incidents; n != nil {
		if s.incident == 0 && s.rng.Float64() < s.interval.Seconds()/time.Duration(n.Every).Seconds() {
			s.incident = int(math.Ceil(time.Duration(n.Lasts).Seconds() / s.interval.Seconds()))
		}
		if s.incident > 0 {
			s.incident--
			if n.Errors > 0 {
				rate *= n.Errors
			}
			if n.ResponseTime > 0 {
				median += math.Log(n.ResponseTime)
			}
		}
	}
	if w := float64(s.scenario.Wander); w > 0 {
		forget := math.Exp(-s.interval.Seconds() / 60)
		s.wander = forget*s.wander + w*math.Sqrt(1-forget*forget)*s.rng.NormFloat64()
	}
	share := float64(weight) / rollout.Full
	usual := effect{errors: 1, conversion: 1, complaints: 1}
	sigma := t.sigma()
	stable := s.draw(&s.stable, load*(1-share), rate, shape{median: median, sigma: sigma}, usual)
	if e.down {
		// Every request to an instance that is not there fails.
		e.errors = 1 / max(rate, 1e-9)
	}
	canary := s.draw(&s.canary, load*share, rate, shape{median: median + e.times + s.wander, sigma: sigma, slowest: e.slowest}, e)
	arms := rollout.Arms{Stable: stable, Canary: canary}
	if e.stableMissing {
		arms.Stable = nil
	}
	if e.canaryMissing {
		arms.Canary = nil
	}
	return arms, e
}

// draw draws what an arm did in a tick.
func (s *source) draw(m *arm, load, rate float64, times shape, e effect) *rollout.Sample {
	m.sample = rollout.Sample{Instances: &m.count, Requests: &m.requests}
	several := len(m.instances) > 1
	if s.plan.times {
		at := times
		if several || s.scenario.InstanceSpread > 0 {
			at = m.mixed(times)
		}
		if s.even {
			m.requests = m.dist.expect(at, load, m.histogram.Counts)
		} else {
			m.requests = m.dist.fill(s.rng, at, load, m.histogram.Counts)
		}
		m.sum = s.grid.seconds(m.histogram.Counts)
		m.histogram.Sum = &m.sum
		m.sample.Latency = &m.histogram
		if several {
			s.divide(m, times)
		}
	} else if s.even {
		m.requests = load
	} else {
		m.requests = poisson(s.rng.Rand, load)
	}
	if s.plan.errors {
		m.errors = s.drawErrors(m, min(1, rate*e.errors))
		m.sample.Errors = &m.errors
	}
	s.drawUsage(m, e)
	s.drawRest(m, e)
	return &m.sample
}

// mixed is the distribution over all instances of an arm: one lognormal of the
// mixture's mean and variance, near enough while they differ by little.
func (m *arm) mixed(times shape) shape {
	var mean, squares float64
	n := float64(len(m.instances))
	for i := range m.instances {
		mean += m.instances[i].times / n
	}
	for i := range m.instances {
		d := m.instances[i].times - mean
		squares += d * d / n
	}
	times.median += mean
	times.sigma = math.Sqrt(times.sigma*times.sigma + squares)
	return times
}

// divide says what of an arm's requests and times each instance had.
func (s *source) divide(m *arm, times shape) {
	if m.by == nil || len(m.by) != len(m.instances) {
		m.by = map[string]*rollout.InstanceSample{}
		for i := range m.instances {
			in := &m.instances[i]
			in.histogram = rollout.Histogram{Count: &in.requests, Sum: &in.seconds}
			in.sample = rollout.InstanceSample{Requests: &in.requests, Latency: &in.histogram}
			m.by[in.name] = &in.sample
		}
	}
	left := m.requests
	for i := range m.instances {
		in := &m.instances[i]
		in.requests = left
		if others := len(m.instances) - i; others > 1 {
			in.requests = binomial(s.rng.Rand, left, 1/float64(others))
		}
		left -= in.requests
		own := times
		own.median += in.times
		in.seconds = instanceSeconds(s.rng.Rand, own, in.requests)
	}
	m.sample.ByInstance = m.by
}

// drawErrors draws an arm's errors. A clump larger than the tick's requests goes
// on in the next tick.
func (s *source) drawErrors(m *arm, rate float64) float64 {
	if s.even {
		return m.requests * rate
	}
	if s.scenario.Clumps <= 1 {
		return binomial(s.rng.Rand, m.requests, rate)
	}
	errors := m.owed
	for range int(poisson(s.rng.Rand, m.requests*rate/s.scenario.Clumps)) {
		errors += geometric(s.rng.Rand, s.scenario.Clumps)
	}
	m.owed = max(0, errors-m.requests)
	return errors - m.owed
}

// drawUsage draws the processor time and memory of an arm's instances.
func (s *source) drawUsage(m *arm, e effect) {
	if !s.plan.cpu && !s.plan.memory {
		return
	}
	forget := math.Exp(-s.interval.Seconds() / usageMemory)
	noise := usageNoise * math.Sqrt(1-forget*forget)
	m.sample.CPU, m.sample.Memory = map[string]float64{}, map[string]float64{}
	for i := range m.instances {
		in := &m.instances[i]
		in.cpuNoise = forget*in.cpuNoise + noise*s.rng.NormFloat64()
		in.memoryNoise = forget*in.memoryNoise + noise*s.rng.NormFloat64()
		m.sample.CPU[in.name] = cores * math.Exp(in.cpu+in.cpuNoise+e.cpu)
		m.sample.Memory[in.name] = bytes * math.Exp(in.memory+in.memoryNoise+e.memory)
	}
	if !s.plan.cpu {
		m.sample.CPU = nil
	}
	if !s.plan.memory {
		m.sample.Memory = nil
	}
}

// drawRest draws exceptions, conversions and complaints.
func (s *source) drawRest(m *arm, e effect) {
	if s.plan.exceptions {
		m.sample.Exceptions = []rollout.Exception{}
		add := func(class string, rate float64, critical bool) {
			n := poisson(s.rng.Rand, m.requests*rate)
			for i := range m.instances {
				part := n
				if others := len(m.instances) - i; others > 1 {
					part = binomial(s.rng.Rand, n, 1/float64(others))
				}
				if n -= part; part > 0 {
					m.sample.Exceptions = append(m.sample.Exceptions, rollout.Exception{Class: class, Instance: m.instances[i].name, Count: part, Critical: critical})
				}
			}
		}
		add("TimeoutError@cart.add", knownExceptions, false)
		if e.exceptions > 0 {
			add("KeyError@checkout.total", e.exceptions, e.critical)
		}
	}
	for _, name := range s.plan.business {
		trials := m.requests
		successes := binomial(s.rng.Rand, trials, min(1, conversion*e.conversion))
		if m.sample.Business == nil {
			m.sample.Business = map[string]rollout.BusinessSample{}
		}
		m.sample.Business[name] = rollout.BusinessSample{Trials: &trials, Successes: &successes}
	}
	if s.plan.complaints {
		n := poisson(s.rng.Rand, m.requests*complaints*e.complaints)
		m.sample.Complaints = &n
	}
}
