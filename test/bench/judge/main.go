// Command judge measures how well the analysis judges: how often it rolls back
// a canary that is no worse than stable, and how soon one that is. It draws
// synthetic runs from fixed scenarios (those of the design note's section 4),
// shows them tick by tick to the real analysis, and prints what came out beside
// the note's figures. It exits with 1 when a bar is not met.
//
//	go run ./test/bench/judge            # 10,000 runs a null: some minutes
//	go run ./test/bench/judge -short     # a minute or two, weak bars
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
)

func main() {
	runs := flag.Int("runs", 10000, "runs of each scenario in which the canary is no worse")
	faultRuns := flag.Int("fault-runs", 2000, "runs of each scenario in which it is")
	peerRuns := flag.Int("peer-runs", 200, "runs of each scenario that other tools' rules are shown too")
	seed := flag.Uint64("seed", 1, "seed of the whole measurement")
	short := flag.Bool("short", false, "few runs, to see that everything works")
	only := flag.String("only", "", "run only the scenarios whose first word is one of these, separated by commas")
	even := flag.Bool("even", false, "ticks of one length, also after one that looked like a gross fault")
	flag.Parse()
	if *short {
		*runs, *faultRuns, *peerRuns = 60, 40, 20
	}
	began := time.Now()
	fmt.Printf("seed %d, %d runs a null, %d a fault, %d workers\n\n", *seed, *runs, *faultRuns, runtime.GOMAXPROCS(0))
	met := true
	var gaps, ofErrors []float64
	for _, s := range scenarios() {
		if !chosen(s.name, *only) {
			continue
		}
		s.even = *even
		n := *faultRuns
		if s.kind == null || s.kind == limit {
			n = *runs
		}
		o := measure(s, n, *peerRuns, *seed)
		ok, line := report(s, o, *short)
		met = met && ok
		fmt.Println(line)
		if g, known := gap(s, o); known {
			gaps = append(gaps, math.Log(g))
			if s.config.Analysis.Checks[0].Type == rollout.ErrorRate {
				ofErrors = append(ofErrors, math.Log(g))
			}
		}
	}
	if len(gaps) > 0 {
		whole := math.Exp(mean(gaps))
		fmt.Printf("\ngeometric mean of %d medians over the larger of Wald's bound and two ticks: %.2f (bar %.1f)", len(gaps), whole, gapBar)
		if len(ofErrors) > 0 && len(ofErrors) < len(gaps) {
			fmt.Printf("; of the %d for errors %.2f", len(ofErrors), math.Exp(mean(ofErrors)))
		}
		fmt.Println()
		met = met && (whole <= gapBar || *short || *only != "")
	}
	fmt.Printf("\n%s in all\n", time.Since(began).Round(time.Second))
	if !met {
		fmt.Println("a bar is NOT met")
		os.Exit(1)
	}
	fmt.Println("every bar is met")
}

// gapBar is the bar of the geometric mean gap.
const gapBar = 1.7

// chosen says whether a scenario's first word is in a list, in which N* stands for
// all that begin with N; all are in an empty one.
func chosen(name, list string) bool {
	first, _, _ := strings.Cut(name, " ")
	return list == "" || slices.ContainsFunc(strings.Split(list, ","), func(part string) bool {
		group, whole := strings.CutSuffix(part, "*")
		return first == part || whole && strings.HasPrefix(first, group)
	})
}
