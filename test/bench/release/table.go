//go:build plane

package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// group is releases of the same kind at the same interval.
type group struct {
	kind     string
	interval time.Duration
}

type table struct {
	mu  sync.Mutex
	all map[group][]outcome
}

func (t *table) add(g group, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[g] = append(t.all[g], o)
}

// bar is what a release with half of its answers wrong may come to.
type bar struct {
	exposed time.Duration
	failed  int
}

// The bars are those that the project has set itself: for the default interval
// of 10 s, and for 5 s.
var bars = map[time.Duration]bar{10 * time.Second: {15 * time.Second, 40}, 5 * time.Second: {8 * time.Second, 20}}

// print prints what every group came to, the middle and the worst of it.
func (t *table) print(w io.Writer, o options) (met bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	met = true
	say := func(ok bool) string {
		if ok {
			return "ok"
		}
		met = false
		return "MISSED"
	}
	fmt.Fprintf(w, "\nfirst to last answer of a bad canary, and its failed answers: median, worst\n")
	fmt.Fprintf(w, "%-22s %4s %5s %14s %12s  %-14s %s\n", "released", "tick", "runs", "seconds", "failed", "bar", "")
	for _, k := range o.kinds {
		for _, interval := range o.intervals {
			runs := t.all[group{k.name, interval}]
			var exposed []time.Duration
			var failed []int
			wrong, broken, lost := 0, 0, 0
			for _, r := range runs {
				lost += r.lost
				if r.err != nil {
					broken++
					continue
				}
				exposed, failed = append(exposed, r.exposed), append(failed, r.failed)
				if r.rolledBack != k.bad {
					wrong++
				}
			}
			line := fmt.Sprintf("%-22s %4s %5d", k.what, interval, len(runs))
			switch b, has := bars[interval]; {
			case len(exposed) == 0:
				line += "  none came to an end  " + say(false)
			case !k.bad:
				line += fmt.Sprintf("  %d false rollbacks  %-14s %s", wrong, "0", say(wrong == 0))
			default:
				slices.Sort(exposed)
				slices.Sort(failed)
				last := len(exposed) - 1
				line += fmt.Sprintf(" %6.1f, %6.1f %5d, %5d", exposed[last/2].Seconds(), exposed[last].Seconds(), failed[last/2], failed[last])
				if has {
					line += fmt.Sprintf("  %-14s %s", fmt.Sprintf("%.0f s, %d", b.exposed.Seconds(), b.failed), say(exposed[last] <= b.exposed && failed[last] <= b.failed))
				}
				if wrong > 0 {
					line += fmt.Sprintf("  %d were not rolled back: %s", wrong, say(false))
				}
			}
			if broken > 0 {
				line += fmt.Sprintf("  %d could not be measured: %s", broken, say(false))
			}
			if lost > 0 {
				line += fmt.Sprintf("  %d requests got no answer: %s", lost, say(false))
			}
			fmt.Fprintln(w, line)
		}
	}
	fmt.Fprint(w, `
Beside it, 50 % errors on such a plane (100 requests/s, Prometheus at 5 s, two
pods): Flagger 356 s and Argo Rollouts 201 s set up as their documents say; 20 s
and 13 s at their fastest, where they rolled back 2 and 3 of 8 healthy releases
with 0.5 % errors in both versions.

`)
	return met
}
