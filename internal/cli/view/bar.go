package view

import (
	"math"
	"strings"
)

// filling writes a bar of n columns of which a fraction is filled, in steps of
// an eighth of a column.
func filling(fraction float64, n int) (full, empty string) {
	fraction = min(max(fraction, 0), 1)
	if math.IsNaN(fraction) {
		fraction = 0
	}
	eighths := int(math.Round(fraction * float64(n) * 8))
	full = strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		full += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return full, strings.Repeat("░", n-columns(full))
}

// evidenceFraction is how far the evidence has come to what is needed, on a
// logarithmic scale: every step of the same length multiplies the odds by the
// same number.
func evidenceFraction(evidence, needed float64) float64 {
	if evidence <= 1 || needed <= 1 {
		return 0
	}
	return min(1, math.Log(evidence)/math.Log(needed))
}

// track writes the line of a timeline's phase.
func track(fraction float64, n int) (done, ahead string) {
	fraction = min(max(fraction, 0), 1)
	full := int(math.Round(fraction * float64(n)))
	return strings.Repeat("━", full), strings.Repeat("─", n-full)
}
