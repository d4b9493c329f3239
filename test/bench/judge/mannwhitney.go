package main

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// shiftInterval is the Hodges-Lehmann estimate of how far the experiment's
// values lie above the control's, with the confidence interval that inverts the
// Mann-Whitney test in its normal approximation, with corrections for ties and
// continuity (Bauer 1972; Hollander and Wolfe 1973). The roots are found by
// Brent's method to the absolute tolerance of 1e-4 that Kayenta's judge uses.
func shiftInterval(experiment, control []float64, confidence float64) (low, high, estimate float64) {
	least := slices.Min(experiment) - slices.Max(control)
	most := slices.Max(experiment) - slices.Min(control)
	if least == most {
		return least, most, least
	}
	z := distuv.UnitNormal.Quantile(1 - (1-confidence)/2)
	root := func(z float64, corrected bool) float64 {
		f := func(shift float64) float64 { return standardised(experiment, control, shift, corrected) - z }
		// Beyond the ends of the data nothing changes any more.
		if fl := f(least); fl <= 0 {
			return least
		}
		if fm := f(most); fm >= 0 {
			return most
		}
		return brent(f, least, most, 1e-4)
	}
	return root(z, true), root(-z, true), root(0, true)
}

// standardised is the Mann-Whitney statistic of the experiment moved down by a
// shift, less its mean, over its standard deviation.
func standardised(experiment, control []float64, shift float64, corrected bool) float64 {
	type value struct {
		v    float64
		ours bool
	}
	n, m := float64(len(experiment)), float64(len(control))
	all := make([]value, 0, len(experiment)+len(control))
	for _, v := range experiment {
		all = append(all, value{v - shift, true})
	}
	for _, v := range control {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	var ranks, ties float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		for _, v := range all[i:j] {
			if v.ours {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	d := ranks - n*(n+1)/2 - n*m/2
	sigma := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if sigma == 0 {
		return 0
	}
	if corrected && d != 0 {
		d -= math.Copysign(0.5, d)
	}
	return d / sigma
}

// epsilon is the distance from 1 to the next number.
const epsilon = 0x1p-52

// brent finds a root of f between a and b, where its signs differ (Brent 1973,
// chapter 4).
func brent(f func(float64) float64, a, b, tolerance float64) float64 {
	fa, fb := f(a), f(b)
	c, fc := a, fa
	d := b - a
	e := d
	for range 1000 {
		if math.Abs(fc) < math.Abs(fb) {
			a, b, c = b, c, b
			fa, fb, fc = fb, fc, fb
		}
		tol := 2*epsilon*math.Abs(b) + tolerance/2
		mid := (c - b) / 2
		if math.Abs(mid) <= tol || fb == 0 {
			return b
		}
		if math.Abs(e) < tol || math.Abs(fa) <= math.Abs(fb) {
			d, e = mid, mid
		} else {
			s := fb / fa
			p, q := 2*mid*s, 1-s
			if a != c {
				u, r := fa/fc, fb/fc
				p = s * (2*mid*u*(u-r) - (b-a)*(r-1))
				q = (u - 1) * (r - 1) * (s - 1)
			}
			if p > 0 {
				q = -q
			} else {
				p = -p
			}
			if p >= 1.5*mid*q-math.Abs(tol*q) || p >= math.Abs(e*q/2) {
				d, e = mid, mid
			} else {
				e, d = d, p/q
			}
		}
		a, fa = b, fb
		switch {
		case math.Abs(d) > tol:
			b += d
		case mid > 0:
			b += tol
		default:
			b -= tol
		}
		fb = f(b)
		if fb > 0 == (fc > 0) {
			c, fc = a, fa
			d = b - a
			e = d
		}
	}
	return b
}
