// Package stats holds the numerical methods of judging: numbers in, numbers
// out. It knows no ticks, checks, arms or rollouts, and like every pure room
// it has no I/O, clock, goroutine or randomness. Each function says where its
// formula comes from.
package stats

import "math"

// negligible is a difference of logarithms that a sum of floats does not show.
const negligible = 40

// LogSumExp returns ln Σ exp(xs[i]) without overflow; -Inf for no terms.
func LogSumExp(xs []float64) float64 {
	top := math.Inf(-1)
	for _, x := range xs {
		top = max(top, x)
	}
	if math.IsInf(top, 0) {
		return top
	}
	var sum float64
	for _, x := range xs {
		// Less than the last bit of the sum is not worth an exponential.
		if x > top-negligible {
			sum += math.Exp(x - top)
		}
	}
	return top + math.Log(sum)
}

// LogAddExp returns ln(exp(a) + exp(b)) without overflow.
func LogAddExp(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, 0) {
		return a
	}
	if b < a-negligible {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// LogMeanExp returns the logarithm of the mean of exp(xs[i]).
func LogMeanExp(xs []float64) float64 {
	return LogSumExp(xs) - math.Log(float64(len(xs)))
}

// Geometric returns n points from lo to hi at equal steps of the logarithm.
func Geometric(lo, hi float64, n int) []float64 {
	points := make([]float64, n)
	step := (math.Log(hi) - math.Log(lo)) / float64(n-1)
	for i := range points {
		points[i] = math.Exp(math.Log(lo) + step*float64(i))
	}
	return points
}

// MixtureRadius returns how far either side of an estimate a confidence
// sequence reaches: the estimate has accumulated this much Fisher information,
// and the sequence covers the truth at all times at once with probability
// 1-alpha. It is the two-sided normal mixture boundary (Robbins 1970; Howard,
// Ramdas, McAuliffe, Sekhon 2021, eq. 14) with the mixture N(0, scale²) over
// the parameter, asymptotic in the normality of the estimate.
func MixtureRadius(information, alpha, scale float64) float64 {
	if information <= 0 {
		return math.Inf(1)
	}
	g := 1 + information*scale*scale
	return math.Sqrt(g / (information * information * scale * scale) * (math.Log(g) - 2*math.Log(alpha)))
}
