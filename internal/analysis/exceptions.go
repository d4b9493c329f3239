package analysis

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// exceptionCheck judges classes of exceptions that the canary has and stable has
// not. It has three parts.
//
// Births: of the classes seen for the first time in a tick, too many are the
// canary's (engine BC, half of the check's alpha). Classes: the k-th class that
// was born in the canary goes on occurring there and never in stable (the other
// half, a part of 1/(k(k+1)) of it). Critical classes: a policy, no statistics:
// one occurrence holds, two roll back.
//
// A class that stable has as well is nobody's regression here: how often it
// occurs is the error rate's to judge.
type exceptionCheck struct {
	Births counts `json:"births"`
	// Known holds the classes that stable has had, Shed those of the canary that
	// there was no room to watch.
	Known hashes `json:"known,omitempty"`
	Shed  hashes `json:"shed,omitempty"`
	// Open are the classes born in the canary and never seen in stable, in the
	// order of their birth. Born is how many were ever born there.
	Open []openClass `json:"open,omitempty"`
	Born int         `json:"born,omitempty"`
	// Cut says that there were more classes than are told apart, Left how many
	// new ones the latest tick had more than are looked at.
	Cut  bool `json:"cut,omitempty"`
	Left int  `json:"left,omitempty"`
	// StableBorn counts stable's births, Canary and Stable are both arms'
	// exposure beside each other, Alone the canary's without control.
	StableBorn float64 `json:"stableBorn,omitempty"`
	Canary     float64 `json:"canary,omitempty"`
	Stable     float64 `json:"stable,omitempty"`
	Alone      float64 `json:"alone,omitempty"`
	// Measured says that the canary was measured and had requests in this phase.
	Measured bool `json:"measured,omitempty"`
}

// openClass is a class that only the canary has had.
type openClass struct {
	Class string `json:"class"`
	// Rank is its place among the classes born in the canary, from 1.
	Rank  int       `json:"rank"`
	First time.Time `json:"first"`
	// Ticks is in how many ticks it occurred, Count how often.
	Ticks int     `json:"ticks"`
	Count float64 `json:"count"`
	// Log is the logarithm of its evidence. Recent is what the latest ticks
	// added to it, the last one first.
	Log    float64                 `json:"log,omitempty"`
	Recent [burstTicks - 1]float64 `json:"recent,omitzero"`
	// Seen is the end of the latest tick in which it occurred, Counted that of the
	// latest whose occurrence counted: what follows soon after is the same burst.
	Seen    time.Time `json:"seen,omitzero"`
	Counted time.Time `json:"counted,omitzero"`
	// Alone counts the ticks without control in which it occurred.
	Alone int `json:"alone,omitempty"`
	// Critical counts its occurrences while it was critical; Held says that one
	// was in this phase.
	Critical float64 `json:"critical,omitempty"`
	Held     bool    `json:"held,omitempty"`
	// InPhase says that it occurred in this phase.
	InPhase bool `json:"inPhase,omitempty"`
}

// Bounds of what is remembered, whatever comes.
const (
	maxKnown = 4096
	maxShed  = 2048
	maxOpen  = 40
	// maxBirths is how many new classes are looked at in one tick. The rest is
	// new still when it comes again.
	maxBirths = 256
	// longestClass is how much of a class's name is kept, in bytes.
	longestClass = 160
)

// burstTicks is how long one burst lasts at most: within that many ticks a
// class adds at most half of the evidence that it needs, so that one user who
// tries again and again for a minute decides nothing.
const burstTicks = 6

// A burst is over when a class has been silent for burstPause, and one that goes
// on counts again after burstLength: a user who met an exception tries again for
// so long. Seconds in a plan with phases of half an hour.
const (
	burstPause  = 10
	burstLength = 30
)

// criticalLimit is how many critical occurrences roll back.
const criticalLimit = 2

func newExceptionCheck(starts int) *exceptionCheck {
	return &exceptionCheck{Births: newCounts(laterParts(errorLaterStake, starts))}
}

func (e *exceptionCheck) clone() *exceptionCheck {
	c := *e
	c.Births = e.Births.clone()
	c.Known, c.Shed = slices.Clone(e.Known), slices.Clone(e.Shed)
	c.Open = slices.Clone(e.Open)
	return &c
}

func (e *exceptionCheck) newPhase() {
	e.Measured = false
	for i := range e.Open {
		e.Open[i].Held, e.Open[i].InPhase = false, false
	}
}

func (e *exceptionCheck) mark() { e.Births.mark() }

// birthRule is what the engine of births is asked: half of the check's alpha.
func birthRule(r rules) countRule {
	return countRule{null: 1, alpha: r.alpha / 2, exactOnly: r.check.ExactOnly}
}

// seenClass is a class in one tick of one arm.
type seenClass struct {
	hash     uint64
	class    string
	count    float64
	critical bool
}

// classesOf merges an arm's exceptions by class, in the order of their hashes.
// A count of zero says that the class is known from earlier.
func classesOf(list []rollout.Exception) []seenClass {
	out := make([]seenClass, 0, len(list))
	for _, x := range list {
		out = append(out, seenClass{hash: hashOf(x.Class), class: x.Class, count: x.Count, critical: x.Critical && x.Count > 0})
	}
	slices.SortFunc(out, func(a, b seenClass) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.class, b.class))
	})
	merged := out[:0]
	for _, x := range out {
		if n := len(merged); n > 0 && merged[n-1].hash == x.hash {
			merged[n-1].count += x.count
			merged[n-1].critical = merged[n-1].critical || x.critical
			continue
		}
		merged = append(merged, x)
	}
	return merged
}

func (e *exceptionCheck) add(r rules, t reading) bool {
	if t.canary == nil || t.canary.Exceptions == nil {
		return false
	}
	canary := classesOf(t.canary.Exceptions)
	var stable []seenClass
	measured := !t.control
	if t.stable != nil && t.stable.Exceptions != nil {
		stable, measured = classesOf(t.stable.Exceptions), true
	}
	shares := sharesOf(t)
	e.Left = 0
	tick := countTick{canaryExposure: shares.canary, stableExposure: shares.stable}
	tick.stableEvents = float64(e.learn(stable))
	e.occur(r, canary, shares, measured && t.control)
	if measured {
		tick.canaryEvents = float64(e.bear(r, canary, stable, int(tick.stableEvents)))
	} else {
		e.bear(r, slices.DeleteFunc(canary, func(x seenClass) bool { return !r.critical(x) }), nil, 0)
		return false
	}
	e.Measured = e.Measured || t.hasRequests()
	if !t.control {
		e.Alone += shares.canary
		return true
	}
	e.Births.add(birthRule(r), tick)
	e.StableBorn += tick.stableEvents
	e.Canary += tick.canaryExposure
	e.Stable += tick.stableExposure
	return true
}

// critical says whether a class counts as critical by its source's word or by
// one of the check's own patterns.
func (r rules) critical(x seenClass) bool {
	return x.critical || x.count > 0 && slices.ContainsFunc(r.check.Critical, func(p string) bool { return rollout.MatchClass(p, x.class) })
}

// learn takes in stable's classes and returns how many were born in it. A class
// that both arms have for the first time is stable's. What only the canary had
// so far is closed.
func (e *exceptionCheck) learn(stable []seenClass) (born int) {
	var known []uint64
	open := e.openHashes()
	for _, x := range stable {
		switch {
		case e.Known.has(x.hash):
			continue
		case slices.Contains(open, x.hash):
			e.Open = slices.DeleteFunc(e.Open, func(o openClass) bool { return hashOf(o.Class) == x.hash })
		case e.Shed.has(x.hash):
			e.Shed = e.Shed.without(x.hash)
		case x.count == 0:
		case born == maxBirths:
			e.Left++
			continue
		default:
			born++
		}
		if len(e.Known)+len(known) == maxKnown {
			e.Cut = true
			continue
		}
		known = append(known, x.hash)
	}
	e.Known = e.Known.with(known)
	return born
}

// occur adds what the classes that are open already did in this tick.
func (e *exceptionCheck) occur(r rules, canary []seenClass, shares shares, compared bool) {
	for i := range e.Open {
		o := &e.Open[i]
		gain := 0.0
		if at, ok := slices.BinarySearchFunc(canary, hashOf(o.Class), func(x seenClass, h uint64) int { return cmp.Compare(x.hash, h) }); ok && canary[at].count > 0 {
			again := o.burst(r)
			o.seen(r, canary[at])
			switch {
			case compared:
				room := math.Log(1/classAlpha(r, o.Rank)) / 2
				for _, g := range o.Recent {
					room -= g
				}
				if again {
					break
				}
				gain = max(0, min(room, -math.Log(shares.hit)))
				o.Log += gain
				o.Counted = r.at
			case !shares.control:
				o.Alone++
			}
		}
		copy(o.Recent[1:], o.Recent[:])
		o.Recent[0] = gain
	}
}

// burst says that an occurrence now belongs to one that counted already. Time
// that went back starts a burst.
func (o *openClass) burst(r rules) bool {
	if r.at.Before(o.Seen) {
		o.Counted = r.at
		return true
	}
	tick := r.timing.seconds(r.timing.Interval)
	pause, length := r.timing.seconds(r.at.Sub(o.Seen)), r.timing.seconds(r.at.Sub(o.Counted))
	return pause < max(burstPause, tick)+tick/2 && length < max(burstLength, 2*tick)-tick/2
}

// seen notes that an open class occurred.
func (o *openClass) seen(r rules, x seenClass) {
	o.Seen = r.at
	o.Ticks++
	o.Count += x.count
	o.InPhase = true
	if r.critical(x) {
		o.Critical += max(1, x.count)
		o.Held = true
	}
}

// bear opens the classes that are new and the canary's alone, and returns how
// many were born. looked is how many new ones of stable were.
func (e *exceptionCheck) bear(r rules, canary, stable []seenClass, looked int) (born int) {
	var shed []uint64
	open := e.openHashes()
	for _, x := range canary {
		if x.count == 0 || e.Known.has(x.hash) || e.Shed.has(x.hash) || slices.Contains(open, x.hash) {
			continue
		}
		if _, ok := slices.BinarySearchFunc(stable, x.hash, func(x seenClass, h uint64) int { return cmp.Compare(x.hash, h) }); ok {
			continue // stable's table is full, and it has it too
		}
		critical := r.critical(x)
		if e.full(len(shed)) || born+looked >= maxBirths {
			e.Cut = e.Cut || e.full(len(shed))
			if !critical {
				e.Left++
				continue
			}
		}
		born++
		e.Born++
		o := openClass{Class: shortened(x.class), Rank: e.Born, First: r.at, Counted: r.at}
		o.seen(r, x)
		e.Open = append(e.Open, o)
		if len(e.Open) > maxOpen {
			least := e.least()
			shed = append(shed, hashOf(e.Open[least].Class))
			e.Open = slices.Delete(e.Open, least, least+1)
		}
	}
	e.Shed = e.Shed.with(shed)
	return born
}

// full says that no class can be told from one that was seen before any more.
func (e *exceptionCheck) full(shed int) bool {
	return len(e.Known) >= maxKnown || len(e.Shed)+shed >= maxShed
}

// least is the open class that is worth least: no critical one while there is
// another, of the rest the one with the least evidence, the latest first.
func (e *exceptionCheck) least() int {
	at := len(e.Open) - 1
	for i := len(e.Open) - 2; i >= 0; i-- {
		a, b := e.Open[i], e.Open[at]
		if a.Critical == 0 && b.Critical > 0 || (a.Critical == 0) == (b.Critical == 0) && a.Ticks < b.Ticks {
			at = i
		}
	}
	return at
}

func (e *exceptionCheck) openHashes() []uint64 {
	open := make([]uint64, len(e.Open))
	for i, o := range e.Open {
		open[i] = hashOf(o.Class)
	}
	return open
}

// classAlpha is the part of the error probability of the class of a rank.
func classAlpha(r rules, rank int) float64 {
	return r.alpha / 2 / (float64(rank) * float64(rank+1))
}

// shares is how a tick was divided between the arms.
type shares struct {
	canary, stable float64
	// hit is the probability that an exception which both versions throw alike is
	// the canary's: its share of the requests, or of the instances where that is
	// larger, for an exception may come by either (a timer, a poller).
	hit     float64
	control bool
}

func sharesOf(t reading) shares {
	weight := float64(t.weight) / rollout.Full
	s := shares{canary: weight, stable: 1 - weight, control: t.control}
	if !t.control {
		s.hit = 1
		if t.canary.Requests != nil {
			s.canary = *t.canary.Requests
		}
		return s
	}
	if t.stable != nil && t.canary.Requests != nil && t.stable.Requests != nil && *t.canary.Requests > 0 && *t.stable.Requests > 0 {
		s.canary, s.stable = *t.canary.Requests, *t.stable.Requests
	}
	all := s.canary + s.stable
	s.hit = s.canary / all
	if t.stable != nil && t.canary.Instances != nil && t.stable.Instances != nil && *t.stable.Instances > 0 {
		s.hit = max(s.hit, float64(*t.canary.Instances)/float64(*t.canary.Instances+*t.stable.Instances))
		s.canary, s.stable = all*s.hit, all*(1-s.hit)
	}
	if s.hit <= 0 {
		s.hit = 1 // the canary has no share: nothing can be said
	}
	return s
}

// suspicious says that a class is too likely the canary's own for its phase to
// end without a person.
func (e *exceptionCheck) suspicious(o openClass) bool {
	needed := float64(o.Rank*(o.Rank+1)) / beta
	if math.Exp(o.Log) >= needed && o.Ticks > 1 {
		return true
	}
	if o.Alone == 0 {
		return false
	}
	// Against stable's traffic earlier in this run, none of which had it.
	log := float64(o.Alone) * math.Log((e.Alone+e.Stable)/max(e.Alone, math.SmallestNonzeroFloat64))
	return log >= math.Log(needed)
}

// manyBirths is the second key of births: the classes that are still the
// canary's alone are at least twice what stable's births would give it.
func (e *exceptionCheck) manyBirths() bool {
	own := float64(len(e.Open) + len(e.Shed))
	return own > 1 && own*e.Stable >= 2*e.StableBorn*e.Canary
}

// weigh is the evidence of the whole check: the parts of alpha are stakes, each
// multiplied by its own evidence; the stakes of classes to come are kept. keyed
// leaves out births that do not fulfil their second key. lead is the open class
// with most of it, -1 when births have.
func (e *exceptionCheck) weigh(births float64) (all, keyed float64, lead int) {
	births -= math.Ln2
	logs := []float64{-math.Ln2 - math.Log(float64(e.Born+1))}
	lead, most := -1, math.Inf(-1)
	for i, o := range e.Open {
		own := o.Log - math.Ln2 - math.Log(float64(o.Rank)*float64(o.Rank+1))
		logs = append(logs, own)
		if own > most {
			most, lead = own, i
		}
	}
	keyed = stats.LogSumExp(logs)
	all = stats.LogAddExp(keyed, births)
	if e.manyBirths() {
		keyed = all
		if births > most {
			lead = -1
		}
	}
	return all, keyed, lead
}

func shortened(class string) string {
	if len(class) <= longestClass {
		return class
	}
	return strings.ToValidUTF8(class[:longestClass], "")
}

// hashOf is FNV-1a of as much of a class's name as is kept.
func hashOf(class string) uint64 {
	class = shortened(class)
	h := uint64(14695981039346656037)
	for i := range len(class) {
		h = (h ^ uint64(class[i])) * 1099511628211
	}
	return h
}
