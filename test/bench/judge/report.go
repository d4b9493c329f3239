package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// significance of the test of "no more false rollbacks than alpha".
const significance = 0.05

// fewSignificance is the same for a look with few runs at all of some fifty
// nulls, where two or three of them would be refused by chance: together they
// are once in twenty looks.
const fewSignificance = significance / 50

// report judges an outcome against its bars and writes its line of the table.
// With few runs a median is mostly chance: then it only fails when a sign test
// says that it is slower.
func report(s scenario, o outcome, few bool) (ok bool, line string) {
	times, rolledBack, early := detections(s, o.rolledBack, s.warmup)
	n := len(times)
	rate := float64(rolledBack) / float64(n)
	alpha := s.config.Analysis.Alpha
	line = fmt.Sprintf("%-44s %5d runs  rolled back %6.2f%%", s.name, n, 100*rate)
	ok = true
	promoted := float64(o.promoted) / float64(n)
	switch s.kind {
	case null:
		p := atLeast(rolledBack, n, alpha)
		ok = p >= significance || few && p >= fewSignificance
		line += fmt.Sprintf("  alpha %.2f%%, p %.3f", 100*alpha, p)
	case tolerated, limit:
		line += "                      "
	case fault:
		median, p90 := quantile(times, 0.5), quantile(times, 0.9)
		line += fmt.Sprintf("  median %6s p90 %6s", secondsText(median), secondsText(p90))
		if s.two {
			line += fmt.Sprintf("  in two ticks %.0f%%", 100*within(times, 2*interval.Seconds()))
		}
		if s.noteMedian > 0 {
			ok = median <= s.noteMedian || few && !slower(times, s.noteMedian)
		}
		if s.noteRate > 0 {
			// As many as the note's, but for the chance of this sample.
			ok = ok && rate >= s.noteRate-2*math.Sqrt(s.noteRate*(1-s.noteRate)/float64(n))
		}
		if s.escape {
			line += fmt.Sprintf("  escaped %.2f%%", 100*promoted)
			ok = ok && (few || atLeast(o.promoted, n, escapeRate) >= significance)
		}
		if early > 0 {
			line += fmt.Sprintf(" (%d early)", early)
		}
	}
	verdict := "ok"
	if !ok {
		verdict = "NOT MET"
	}
	line = fmt.Sprintf("%-120s  note: %-14s %-8s %s", line, s.note, verdict, o.took.Round(1e8))
	if len(o.peers) > 0 && len(s.rules) > 0 {
		line += "\n" + peersLine(s, o)
	}
	return ok, line
}

// escapeRate is how many bad canaries may be promoted.
const escapeRate = 0.01

// detections turns the times of rollbacks into sorted times from the fault's
// beginning, infinite where there was none or one before it.
func detections(s scenario, at []time.Duration, warmup time.Duration) (times []float64, rolledBack, early int) {
	for _, d := range at {
		switch {
		case d < 0:
			times = append(times, math.Inf(1))
		case d <= s.onset:
			early++
			rolledBack++
			times = append(times, math.Inf(1))
		default:
			rolledBack++
			times = append(times, (d - s.onset - warmup).Seconds())
		}
	}
	slices.Sort(times)
	return times, rolledBack, early
}

// peersLine says what the other rules made of the first runs.
func peersLine(s scenario, o outcome) string {
	line := fmt.Sprintf("      of the first %d:", len(o.peers))
	for i, r := range s.rules {
		at := make([]time.Duration, len(o.peers))
		for k, times := range o.peers {
			at[k] = times[i]
		}
		times, rolledBack, early := detections(s, at, 0)
		line += fmt.Sprintf("  %s %.1f%%", r.name, 100*float64(rolledBack)/float64(len(at)))
		if s.kind == fault {
			line += fmt.Sprintf(" (%s)", secondsText(quantile(times, 0.5)))
		}
		if early > 0 {
			line += fmt.Sprintf(" %d early", early)
		}
	}
	return line
}

// gap is how many times the bound a scenario's median is. No rule decides in
// less than two ticks; a median below the bound, which is one of the mean at the
// first weight, counts as 1. ok is false where there is no bound or no median.
func gap(s scenario, o outcome) (g float64, ok bool) {
	times, _, _ := detections(s, o.rolledBack, s.warmup)
	median := quantile(times, 0.5)
	if s.kind != fault || s.bound == 0 || math.IsInf(median, 0) {
		return 0, false
	}
	return max(1, median/max(s.bound, 2*interval.Seconds())), true
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

// within is the part of sorted times that are no longer than a limit.
func within(sorted []float64, limit float64) float64 {
	n, _ := slices.BinarySearchFunc(sorted, limit, func(t, limit float64) int {
		if t <= limit {
			return -1
		}
		return 1
	})
	return float64(n) / float64(len(sorted))
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
