package stats

import "math"

// blockLengths are the lengths, in ticks, over which Dispersion looks for
// bursts and autocorrelation.
var blockLengths = [...]int{1, 3, 6}

// Dispersion estimates by how much the noise of a sequence of residuals exceeds
// its nominal variance (φ̂). It compares successive standardised block sums
// (von Neumann 1941), so that a lasting difference between the arms, which is
// what is being looked for, does not count as noise; several block lengths, the
// worst of them taken, so that autocorrelation does.
type Dispersion struct {
	Blocks [len(blockLengths)]Block `json:"blocks"`
	// Prior is the estimate before anything was seen.
	Prior float64 `json:"prior"`
}

// Block is Dispersion's memory for one block length.
type Block struct {
	// Ticks, Residual and Variance are the open block so far.
	Ticks    int     `json:"ticks,omitempty"`
	Residual float64 `json:"residual,omitempty"`
	Variance float64 `json:"variance,omitempty"`
	// Last is the latest closed block's standardised sum, Closed how many were.
	Last   float64 `json:"last,omitempty"`
	Closed int     `json:"closed,omitempty"`
	// Squares is half the sum of squared differences of successive blocks.
	Squares float64 `json:"squares,omitempty"`
}

// Add takes in one tick's residual and its nominal variance. A block stays open
// until its variance is enough: sparser blocks have no usable second moment.
func (d *Dispersion) Add(residual, variance, enough float64) {
	for i := range d.Blocks {
		b := &d.Blocks[i]
		b.Ticks++
		b.Residual += residual
		b.Variance += variance
		if b.Ticks < blockLengths[i] || b.Variance < enough {
			continue
		}
		r := b.Residual / math.Sqrt(b.Variance)
		if b.Closed > 0 {
			squares := (r - b.Last) * (r - b.Last) / 2
			if b.Closed == 1 {
				// The first block was measured against a guess: its difference from
				// the second may be what the run has to tell, and adds no noise to
				// what was taken for known.
				squares = min(squares, d.Prior)
			}
			b.Squares += squares
		}
		b.Last = r
		b.Closed++
		b.Ticks, b.Residual, b.Variance = 0, 0, 0
	}
}

// priorBlocks is how many differences the prior weighs as much as, so that a
// few quiet blocks do not promise quiet.
const priorBlocks = 10

// Phi is the estimate φ̂ ≥ 1: the largest of the block lengths', each drawn to
// the prior by itself.
func (d *Dispersion) Phi() float64 {
	phi := 1.0
	for i := range d.Blocks {
		phi = max(phi, d.Blocks[i].estimate(d.Prior))
	}
	return phi
}

// Shortest is the estimate φ̂ ≥ 1 of the shortest blocks alone: of noise that does
// not go on.
func (d *Dispersion) Shortest() float64 { return d.ShortestFrom(d.Prior) }

// ShortestFrom is Shortest, drawn to another prior.
func (d *Dispersion) ShortestFrom(prior float64) float64 {
	return max(1, d.Blocks[0].estimate(prior))
}

// PhiFrom is the estimate φ̂ ≥ 1 where noise is taken not to go on over ticks
// until it is seen to: a block length is drawn to what the shorter one says, and
// the shortest to the given prior. Longer blocks are few, and would hold on to a
// prior of clumping long after the shortest have refuted it, or know nothing of
// clumps that the shortest have shown.
func (d *Dispersion) PhiFrom(prior float64) float64 {
	phi := 1.0
	for i := range d.Blocks {
		prior = d.Blocks[i].estimate(prior)
		phi = max(phi, prior)
	}
	return phi
}

func (b *Block) estimate(prior float64) float64 {
	n := float64(max(b.Closed-1, 0))
	return (priorBlocks*prior + b.Squares) / (priorBlocks + n)
}
