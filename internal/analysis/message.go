package analysis

import (
	"fmt"
	"math"
	"strconv"
)

// maxEvidence and maxRatio stand for what is larger, infinity included, which
// JSON cannot hold.
const (
	maxEvidence = 1e300
	maxRatio    = 1e6
)

// eValue turns the logarithm of an e-value into the e-value.
func eValue(log float64) float64 {
	if math.IsNaN(log) {
		return 0
	}
	return min(maxEvidence, math.Exp(log))
}

// boundedRatio is a : b for people and JSON; 0 when both are 0.
func boundedRatio(a, b float64) float64 {
	if a <= 0 {
		return 0
	}
	return min(maxRatio, a/b)
}

// percent writes a fraction as people read it: 3.1 %, 0.02 %.
func percent(f float64) string {
	return number(100*f) + " %"
}

// number writes two figures, and all of them from a hundred on.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v, 'e', 1, 64)
	case v >= 100:
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// times writes a ratio: 2.6x.
func times(r float64) string {
	switch {
	case r >= maxRatio:
		return "infinitely many times"
	case r < 2 && r > 0.5:
		return strconv.FormatFloat(r, 'f', 2, 64) + "x"
	}
	return number(r) + "x"
}

// odds writes an e-value and its threshold as odds against chance.
func odds(e, needed float64) string {
	if e < 1 {
		return "no evidence of harm; odds of 1:" + number(needed) + " needed"
	}
	return "odds 1:" + number(e) + " against chance; 1:" + number(needed) + " needed"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
