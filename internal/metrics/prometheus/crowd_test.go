package prometheus

import (
	"testing"
	"time"
)

func TestACrowdIsSpreadAndAFewLoseNothing(t *testing.T) {
	const every = 5 * time.Second
	crowd := &Crowd{}
	alone := &place{crowd: crowd}
	alone.join()
	if got := alone.later(every); got != 0 {
		t.Errorf("a source that is alone asks %s later", got)
	}
	places := make([]place, 400)
	for i := range places {
		places[i].crowd = crowd
		places[i].join()
		places[i].join() // once is enough
	}
	// In no fifth of the spread is more than twice its part of them; by chance once
	// in more tests than will ever be run.
	fifths := [5]int{}
	longest := time.Duration(most * float64(every))
	for i := range places {
		later := places[i].later(every)
		if later < 0 || later > longest {
			t.Fatalf("a source asks %s later, want at most %s", later, longest)
		}
		fifths[min(4, int(5*later/longest))]++
	}
	for _, n := range fifths {
		if n > 160 {
			t.Errorf("of 400 sources %v ask in each fifth of %s", fifths, longest)
			break
		}
	}
	for i := range places {
		places[i].leave()
		places[i].leave()
	}
	if got := alone.later(every); got != 0 || crowd.n.Load() != 1 {
		t.Errorf("after the others left %d are there, and it asks %s later", crowd.n.Load(), got)
	}
}
