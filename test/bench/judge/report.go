package main

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// significance of the test of "no more false rollbacks than alpha".
const significance = 0.05

// report judges an outcome against its bars and writes its line of the table.
// With few runs a median is mostly chance: then it only fails when a sign test
// says that it is slower.
func report(s scenario, o outcome, few bool) (ok bool, line string) {
	var early, rolledBack int
	var times []float64
	for _, d := range o.rolledBack {
		switch {
		case d < 0:
			times = append(times, math.Inf(1))
		case d <= s.onset:
			// Rolled back before there was a fault: no detection.
			early++
			rolledBack++
			times = append(times, math.Inf(1))
		default:
			rolledBack++
			times = append(times, (d - s.onset - s.warmup).Seconds())
		}
	}
	n := len(times)
	rate := float64(rolledBack) / float64(n)
	alpha := s.config.Analysis.Alpha
	line = fmt.Sprintf("%-44s %5d runs  rolled back %6.2f%%", s.name, n, 100*rate)
	ok = true
	switch s.kind {
	case null:
		p := atLeast(rolledBack, n, alpha)
		ok = p >= significance
		line += fmt.Sprintf("  alpha %.2f%%, p %.3f", 100*alpha, p)
	case tolerated:
		line += "                      "
	case fault:
		slices.Sort(times)
		median, p90 := quantile(times, 0.5), quantile(times, 0.9)
		line += fmt.Sprintf("  median %6s p90 %6s", secondsText(median), secondsText(p90))
		if s.noteMedian > 0 {
			ok = median <= s.noteMedian || few && !slower(times, s.noteMedian)
		}
		if s.noteRate > 0 {
			// As many as the note's, but for the chance of this sample.
			ok = ok && rate >= s.noteRate-2*math.Sqrt(s.noteRate*(1-s.noteRate)/float64(n))
		}
		if early > 0 {
			line += fmt.Sprintf(" (%d early)", early)
		}
	}
	verdict := "ok"
	if !ok {
		verdict = "NOT MET"
	}
	return ok, fmt.Sprintf("%-104s  note: %-22s %-8s %s", line, s.note, verdict, o.took.Round(1e8))
}

// slower says whether more than half of the times are longer than a median, by
// more than chance would have it.
func slower(times []float64, median float64) bool {
	longer := 0
	for _, t := range times {
		if t > median {
			longer++
		}
	}
	return atLeast(longer, len(times), 0.5) < significance
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func secondsText(v float64) string {
	if math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("%.0f s", v)
}

// atLeast is the exact probability of k or more of n at rate p.
func atLeast(k, n int, p float64) float64 {
	if k == 0 {
		return 1
	}
	return 1 - distuv.Binomial{N: float64(n), P: p}.CDF(float64(k-1))
}
