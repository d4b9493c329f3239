//go:build plane

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// table is what was measured, a figure a line.
type table struct {
	lines  []string
	missed bool
}

// add notes a figure with its bar; a figure without a bar is only told.
func (t *table) add(what, figure, bar string, met bool) {
	verdict := "ok"
	switch {
	case bar == "":
		verdict = ""
	case !met:
		verdict, t.missed = "MISSED", true
	}
	t.lines = append(t.lines, fmt.Sprintf("%-62s %16s  %-12s %s", what, figure, bar, verdict))
	fmt.Println(t.lines[len(t.lines)-1])
}

func (t *table) tell(what, figure string) { t.add(what, figure, "", true) }

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-62s %16s  %-12s\n", "what", "figure", "bar")
	for _, l := range t.lines {
		fmt.Fprintln(w, l)
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// quantile is the smallest of the values that at least the share p of them does
// not exceed.
func quantile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := int(p*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}
