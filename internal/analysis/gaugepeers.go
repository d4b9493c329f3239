package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// peers are stable's instances as placebos: how far each of them was from its
// arm, and how that changed, over the same ticks as the canary.
type peers struct {
	List []peer `json:"list,omitempty"`
	// Slopes says that slopes are compared too, Marks how many starts began
	// after the first.
	Slopes bool `json:"slopes,omitempty"`
	Marks  int  `json:"marks,omitempty"`
	// Canary and Stable are how many instances each arm has.
	Canary int `json:"canary,omitempty"`
	Stable int `json:"stable,omitempty"`
	// ByRequest says that instances were compared for each request in the latest
	// tick, their requests being known.
	ByRequest bool `json:"byRequest,omitempty"`
	// Baseline is how many the canary was compared with, where that was one.
	Baseline int `json:"baseline,omitempty"`
	// Usual is what placebos have shown so far, by the length of the window:
	// eight ticks, sixteen, and so on.
	Usual [windowOctaves]usualPlacebo `json:"usual"`
	// Stir is by how much they moved from tick to tick.
	Stir stir `json:"stir,omitzero"`
}

// usualPlacebo holds sums of variances. One look at slow noise may be lucky; the
// mean of all looks is not.
type usualPlacebo struct {
	N     float64 `json:"n,omitempty"`
	Level float64 `json:"l,omitempty"`
	// Slope is of slopes times the window's length: of growth over it.
	Slope float64 `json:"s,omitempty"`
}

const windowOctaves = 8

func octave(n float64) int {
	return max(0, min(windowOctaves-1, int(math.Log2(n/leastGaugeTicks))))
}

// peer is one of stable's instances.
type peer struct {
	Name string `json:"n"`
	// Now holds the figures indexed below.
	Now Vector `json:"v"`
	// Missing is for how many ticks the latest deviation stands in.
	Missing int `json:"missing,omitempty"`
	// D and ID are peerD and peerID when each start after the first began; ID is
	// kept where slopes are compared.
	D  shortVector `json:"d,omitempty"`
	ID shortVector `json:"id,omitempty"`
}

// The figures in peer.Now: the sums of the deviations d and of i·d, the latest
// deviation, and the number of the tick in which it was first seen.
const (
	peerD = iota
	peerID
	peerLast
	peerSince
)

const (
	// peerLimit is how many instances are remembered; more add little.
	peerLimit = 16
	// missingLimit is how many ticks an instance's figure may stand in for one
	// that is missing.
	missingLimit = 3
	// joinSlack is by how many ticks an instance may be late for a window.
	joinSlack = 2
	// priorDrift is by how much instances are taken to drift apart over a
	// window before anything is seen; it weighs as much as priorSpread.
	priorDrift = 0.03
)

func (p peers) clone() peers {
	p.List = slices.Clone(p.List)
	for i := range p.List {
		e := &p.List[i]
		e.Now, e.D, e.ID = e.Now.clone(), slices.Clone(e.D), slices.Clone(e.ID)
	}
	return p
}

func (p *peers) mark() {
	p.Marks++
	for i := range p.List {
		e := &p.List[i]
		e.D = append(e.D, float32(e.Now[peerD]))
		if p.Slopes {
			e.ID = append(e.ID, float32(e.Now[peerID]))
		}
	}
}

func (p *peers) count(canary, stable int) { p.Canary, p.Stable = canary, stable }

// add takes in stable's instances in the check's tick number i.
func (p *peers) add(t rollout.CheckType, i float64, stable use, by map[string]*rollout.InstanceSample) {
	value, mean := stable.values, stable.mean
	p.ByRequest = false
	if t == rollout.CPU {
		if each, of := perRequest(stable, by); each != nil {
			value, mean, p.ByRequest = each, of, true
		}
	}
	kept := p.List[:0]
	for _, e := range p.List {
		if v, ok := value[e.Name]; ok {
			d := math.Log((v + rest(t)) / (mean + rest(t)))
			p.Stir.add(d-e.Now[peerLast], len(value))
			e.Now[peerLast], e.Missing = d, 0
		} else if e.Missing++; e.Missing > missingLimit {
			continue
		} else {
			p.Stir.add(0, len(value)) // as in a history
		}
		e.Now[peerD] += e.Now[peerLast]
		e.Now[peerID] += i * e.Now[peerLast]
		kept = append(kept, e)
	}
	p.List = kept
	if len(p.List) >= min(peerLimit, len(value)) {
		return
	}
	for _, name := range stable.names {
		v, ok := value[name]
		known := slices.ContainsFunc(p.List, func(e peer) bool { return e.Name == name })
		if !ok || known || len(name) > spreadName || len(p.List) >= peerLimit || v <= 0 && t != rollout.CPU {
			continue
		}
		d := math.Log((v + rest(t)) / (mean + rest(t)))
		e := peer{Name: name, Now: Vector{peerD: d, peerID: i * d, peerLast: d, peerSince: i}, D: make(shortVector, p.Marks)}
		if p.Slopes {
			e.ID = make(shortVector, p.Marks)
		}
		p.List = append(p.List, e)
	}
}

// perRequest is what each instance used for a request; nil unless all requests
// are known.
func perRequest(u use, by map[string]*rollout.InstanceSample) (each map[string]float64, mean float64) {
	var requests float64
	each = make(map[string]float64, len(u.names))
	for _, name := range u.names {
		in := by[name]
		if in == nil || in.Requests == nil || *in.Requests <= 0 {
			return nil, 0
		}
		each[name] = u.values[name] / *in.Requests
		requests += *in.Requests
	}
	return each, u.mean * float64(len(u.names)) / requests
}

// since is what a peer has since start s.
func (e *peer) since(s int) (d, id float64) {
	d, id = e.Now[peerD], e.Now[peerID]
	if s > 0 && s <= len(e.D) {
		d -= float64(e.D[s-1])
	}
	if s > 0 && s <= len(e.ID) {
		id -= float64(e.ID[s-1])
	}
	return d, id
}

// placebo is what stable's instances say of a comparison over a window: the
// variances of a level and of a slope of one instance against its arm, and how
// many degrees of freedom they have; 0 when there are fewer than two instances.
type placebo struct{ level, slope, freedom float64 }

// learn remembers what a window shows.
func (p *peers) learn(s int, w gaugeWindow) {
	if w.n < leastGaugeTicks {
		return
	}
	if now := p.seen(s, w); now.freedom > 0 {
		u := &p.Usual[octave(w.n)]
		u.N++
		u.Level += now.level
		u.Slope += now.slope * w.n * w.n
	}
}

// over is the placebo over the window w of start s, and no less than the mean of
// what windows about as long have shown. Levels over longer windows vary less,
// so theirs are a floor as well.
func (p *peers) over(s int, w gaugeWindow) placebo {
	now := p.seen(s, w)
	if now.freedom == 0 {
		return now
	}
	for i := octave(w.n); i < windowOctaves; i++ {
		if u := p.Usual[i]; u.N > 0 {
			now.level = max(now.level, u.Level/u.N)
		}
	}
	if u := p.Usual[octave(w.n)]; u.N > 0 {
		now.slope = max(now.slope, u.Slope/u.N/(w.n*w.n))
	}
	return now
}

func (p *peers) seen(s int, w gaugeWindow) placebo {
	var n float64
	var levels, slopes moments
	for i := range p.List {
		e := &p.List[i]
		if e.Now[peerSince] > w.first+joinSlack {
			continue
		}
		d, id := e.since(s)
		n++
		levels.add(d / w.n)
		if p.Slopes && w.spread > 0 {
			slopes.add((id - w.center*d) / w.spread)
		}
	}
	if n < 2 {
		return placebo{}
	}
	drift := priorDrift / w.n
	return placebo{
		level:   (priorFreedom*priorSpread*priorSpread + levels.squares) / (priorFreedom + n - 1),
		slope:   (priorFreedom*drift*drift + slopes.squares) / (priorFreedom + n - 1),
		freedom: priorFreedom + n - 1,
	}
}

// inArms turns the variance of one instance into that of the arms' comparison.
func (p *peers) inArms(variance float64) float64 {
	against := p.Stable
	if p.Baseline > 0 {
		against = min(p.Baseline, max(1, p.Stable))
	}
	return variance * (1/float64(max(1, p.Canary)) + 1/float64(max(1, against)))
}

// inflation is by how much a variance that was estimated with so many degrees
// of freedom is multiplied, so that its chance of being too small alone does not
// reach the threshold: the evidence of a normal value at the threshold must be
// as rare as alpha for a Student value too, over so many independent looks.
func inflation(freedom, alpha, looks float64) float64 {
	t := stats.StudentQuantile(alpha/looks, freedom)
	return max(1, t*t/(2*(math.Log(1/alpha)+mixtureCost)))
}

// looks is as how many independent looks the many dependent ones count: slow
// noise is another draw every few minutes.
const looks = 8

// mixtureCost is about what the mixtures over sizes and starts cost, in nats.
const mixtureCost = 2

// moments are a running mean and sum of squared deviations (Welford 1962).
type moments struct{ n, mean, squares float64 }

func (m *moments) add(v float64) {
	m.n++
	off := v - m.mean
	m.mean += off / m.n
	m.squares += off * (v - m.mean)
}

// slowLengths are the lengths in ticks over which slowNoise looks.
var slowLengths = [...]int{1, 4, 16, 40}

// slowNoise is the variance of a tick's difference as it shows in sums of ticks:
// half the mean squared difference of successive block sums, of several lengths,
// the largest of them. What lasts is no noise, and neither is a steady growth.
type slowNoise struct {
	Blocks [len(slowLengths)]slowBlock `json:"blocks"`
}

type slowBlock struct {
	Ticks int     `json:"t,omitempty"`
	Sum   float64 `json:"s,omitempty"`
	// Last and Before are the latest two closed blocks, Closed how many were.
	Last   float64 `json:"l,omitempty"`
	Before float64 `json:"b,omitempty"`
	Closed int     `json:"c,omitempty"`
	// Squares is a sixth of the sum of the squared second differences.
	Squares float64 `json:"q,omitempty"`
}

func (n *slowNoise) add(z float64) {
	for i := range n.Blocks {
		b := &n.Blocks[i]
		b.Ticks++
		b.Sum += z
		if b.Ticks < slowLengths[i] {
			continue
		}
		r := b.Sum / math.Sqrt(float64(b.Ticks))
		if b.Closed >= 2 {
			d := r - 2*b.Last + b.Before
			b.Squares += d * d / 6
		}
		b.Before, b.Last = b.Last, r
		b.Closed++
		b.Ticks, b.Sum = 0, 0
	}
}

// slowPrior is how many differences the prior weighs as much as.
const slowPrior = 2

func (n *slowNoise) variance() float64 {
	const prior = 1e-4
	v := prior
	for _, b := range n.Blocks {
		v = max(v, (slowPrior*prior+b.Squares)/(slowPrior+float64(max(0, b.Closed-2))))
	}
	return v
}

// shortVector is a Vector of half the precision: enough for what a variance is
// estimated from.
type shortVector []float32

func (v shortVector) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

func (v *shortVector) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("short vector: %w", err)
	}
	if len(raw)%4 != 0 {
		return fmt.Errorf("short vector: %d bytes are no whole numbers; the state was cut", len(raw))
	}
	*v = make(shortVector, len(raw)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}
