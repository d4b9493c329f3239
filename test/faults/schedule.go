package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// kind is a kind of fault.
type kind string

const (
	crashBefore    kind = "crash before the effect"
	crashAfter     kind = "crash after the effect"
	failBefore     kind = "error, nothing done"
	failAfter      kind = "error, all done"
	lostWrite      kind = "write lost, success claimed"
	slow           kind = "slow call"
	slowBefore     kind = "timeout, nothing done"
	slowAfter      kind = "timeout, all done"
	jumpForward    kind = "clock leaps an hour"
	jumpBack       kind = "clock set back an hour"
	conflict       kind = "somebody else saves"
	staleRead      kind = "next load is stale"
	diskFull       kind = "disk full for a while"
	canaryDies     kind = "canary dies"
	canaryLoops    kind = "canary crash loop"
	stableDies     kind = "stable dies"
	specChange     kind = "another version asked for"
	turnsBad       kind = "canary turns bad"
	metricsGone    kind = "no metrics for a while"
	intentPromote  kind = "promote"
	intentFull     kind = "promote to the end"
	intentPause    kind = "pause"
	intentResume   kind = "resume"
	intentRollback kind = "rollback"
)

// kinds lists every kind.
var kinds = []kind{
	crashBefore, crashAfter, failBefore, failAfter, lostWrite, slow, slowBefore, slowAfter, jumpForward, jumpBack,
	conflict, staleRead, diskFull, canaryDies, canaryLoops, stableDies, specChange, turnsBad, metricsGone,
	intentPromote, intentFull, intentPause, intentResume, intentRollback,
}

// fault is a kind of fault at an effect, counted from 0.
type fault struct {
	at   int
	kind kind
}

func (f fault) String() string { return fmt.Sprintf("%d:%s", f.at, f.kind) }

// schedule is when which faults happen.
type schedule []fault

func (s schedule) at(n int) []fault {
	var out []fault
	for _, f := range s {
		if f.at == n {
			out = append(out, f)
		}
	}
	return out
}

// last is the boundary after which nothing is broken any more.
func (s schedule) last() int {
	last := 0
	for _, f := range s {
		last = max(last, f.at)
	}
	return last
}

func (s schedule) String() string {
	var parts []string
	for _, f := range s {
		parts = append(parts, f.String())
	}
	return strings.Join(parts, ", ")
}

// maxBoundary is where faults end; a healthy run is a little longer.
const maxBoundary = 260

// random draws up to eight faults; some of them fall on neighbouring effects,
// because two faults at once break more than two faults apart.
func random(rng *rand.Rand) schedule {
	var s schedule
	for range 1 + rng.IntN(8) {
		f := fault{at: rng.IntN(maxBoundary), kind: kinds[rng.IntN(len(kinds))]}
		s = append(s, f)
		if rng.IntN(3) == 0 {
			s = append(s, fault{at: f.at + rng.IntN(8), kind: kinds[rng.IntN(len(kinds))]})
		}
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
