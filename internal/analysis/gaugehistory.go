package analysis

import (
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// past is what stable's instances showed before the run: each of them a placebo
// over every window of the history. Only variances are remembered, of one instance
// against its arm.
type past struct {
	Level apart `json:"level"`
	// Slope is nil where slopes are not compared.
	Slope *apart `json:"slope,omitempty"`
	// Stir is by how much they moved from tick to tick.
	Stir stir `json:"stir"`
}

// stir is half the mean squared difference of successive deviations.
type stir struct {
	Squares float64 `json:"q,omitempty"`
	N       float64 `json:"n,omitempty"`
}

func (s *stir) add(step float64, instances int) {
	// The mean that deviations are from moves along with each of few instances.
	s.Squares += step * step / 2 * float64(instances) / float64(max(1, instances-1))
	s.N++
}

// louder is how many times as much instances move now as they did, 1 at least.
func (s stir) louder(now stir) float64 {
	if s.N == 0 || s.Squares == 0 || now.N == 0 {
		return 1
	}
	return max(1, now.Squares/now.N*s.N/s.Squares)
}

// apart is a variance in two parts: what instances differ by for good, of which
// there are no more draws than instances, and what comes and goes, of which every
// window is another.
type apart struct {
	// Lasting is the variance over the whole history, Instances its degrees of
	// freedom.
	Lasting   float64 `json:"lasting"`
	Instances float64 `json:"instances"`
	// Passing is what windows vary by beyond that, by their length as in
	// peers.Usual.
	Passing []passing `json:"passing"`
	// Falls is the power of a window's length by which the passing part falls
	// within an octave.
	Falls float64 `json:"falls,omitempty"`
}

type passing struct {
	Variance float64 `json:"v"`
	Freedom  float64 `json:"f"`
}

// of is the passing part over windows of n ticks: that of the longest windows
// that are no longer, which vary more.
func (a apart) of(n float64) passing {
	o := min(octave(n), len(a.Passing)-1)
	p := a.Passing[o]
	length := leastGaugeTicks * math.Exp2(float64(o))
	p.Variance *= math.Pow(length/max(length, min(n, 2*length)), a.Falls)
	return p
}

// whole is the variance over n ticks.
func (a apart) whole(n float64) float64 { return a.Lasting + a.of(n).Variance }

// enlarged is the whole with each part made larger for the draws that it has. What
// lasts is one draw, however often one looks. louder is how many times as much
// comes and goes now.
func (a apart) enlarged(n, alpha, louder float64) float64 {
	p := a.of(n)
	return a.Lasting*inflation(a.Instances, alpha, 1) + p.Variance*louder*inflation(p.Freedom, alpha, looks)
}

// outgrown is how many times what the past says instances may differ by now
// before it says nothing about now.
const outgrown = 3

// newPast is nil when there are fewer than two instances or windows.
func newPast(t rollout.CheckType, h *rollout.History, tm timing) *past {
	all := h.CPU
	if t == rollout.Memory {
		all = h.Memory
	}
	names := sortedKeys(all)
	names = names[:min(len(names), rollout.HistoryInstances)]
	if len(names) < 2 || h.Interval != rollout.Duration(tm.Interval) {
		return nil
	}
	series := apartInPast(t, all, names)
	level, ok := newApart(series, levelOver, func(float64) float64 { return priorSpread })
	if !ok {
		return nil
	}
	p := &past{Level: level}
	for _, s := range series {
		for i := 1; i < len(s); i++ {
			p.Stir.add(s[i]-s[i-1], len(series))
		}
	}
	if t == rollout.Memory {
		slope, _ := newApart(series, slopeOver, func(n float64) float64 { return priorDrift / n })
		slope.Falls = 2
		p.Slope = &slope
	}
	return p
}

func (p *past) clone() *past {
	if p == nil {
		return nil
	}
	c := &past{Level: p.Level.clone(), Stir: p.Stir}
	if p.Slope != nil {
		slope := p.Slope.clone()
		c.Slope = &slope
	}
	return c
}

func (a apart) clone() apart {
	a.Passing = slices.Clone(a.Passing)
	return a
}

// newApart measures every instance over the whole history and over windows of it.
// prior is the standard deviation that is taken to last over n ticks. ok is false
// with fewer than two instances over two windows.
func newApart(series [][]float64, measure func([]float64) float64, prior func(n float64) float64) (a apart, ok bool) {
	longest := 0
	for _, s := range series {
		longest = max(longest, len(s))
	}
	var whole moments
	for _, s := range series {
		// One that was there for less of the time shows more of what comes and goes.
		if len(s) >= (longest+1)/2 {
			whole.add(measure(s))
		}
	}
	if whole.n < 2 {
		return a, false
	}
	drawn := prior(float64(longest))
	a.Instances = priorFreedom + whole.n - 1
	a.Lasting = (priorFreedom*drawn*drawn + whole.squares) / a.Instances
	seen := whole.squares / (whole.n - 1)
	for o := range windowOctaves {
		variance, freedom, looked := overWindows(series, leastGaugeTicks<<o, measure)
		if looked < 2 {
			break
		}
		a.Passing = append(a.Passing, passing{Variance: max(0, variance-seen), Freedom: freedom})
	}
	return a, len(a.Passing) > 0
}

// overWindows is the variance between instances over the same windows, counted
// back from the run's beginning, its degrees of freedom, and over how many.
func overWindows(series [][]float64, length int, measure func([]float64) float64) (variance, freedom float64, looked int) {
	for k := 1; ; k++ {
		var m moments
		for _, s := range series {
			if end := len(s) - (k-1)*length; end >= length {
				m.add(measure(s[end-length : end]))
			}
		}
		if m.n < 2 {
			return variance / max(1, freedom), freedom, looked
		}
		looked++
		variance += m.squares
		freedom += m.n - 1
	}
}

// apartInPast is by how much each instance was apart from the mean of those that
// were there, on the logarithm, a series each that ends at the run's beginning.
func apartInPast(t rollout.CheckType, all map[string][]float64, names []string) [][]float64 {
	extra := rest(t)
	longest := 0
	for _, name := range names {
		longest = max(longest, len(all[name]))
	}
	means := make([]float64, longest)
	for back := 1; back <= longest; back++ {
		var n, sum float64
		for _, name := range names {
			if values := all[name]; back <= len(values) {
				n++
				sum += values[len(values)-back]
			}
		}
		means[longest-back] = sum / n
	}
	out := make([][]float64, 0, len(names))
	for _, name := range names {
		values := all[name]
		off := make([]float64, len(values))
		for i, v := range values {
			off[i] = math.Log((max(v, leastUse) + extra) / (max(means[longest-len(values)+i], leastUse) + extra))
		}
		out = append(out, off)
	}
	return out
}

// leastUse keeps a figure of nothing from being infinitely far away.
const leastUse = 1e-6

func levelOver(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func slopeOver(values []float64) float64 {
	n := float64(len(values))
	var cross float64
	for i, v := range values {
		cross += (float64(i) - (n-1)/2) * v
	}
	return cross * 12 / (n * (n*n - 1))
}
