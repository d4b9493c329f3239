package demo

import (
	"time"

	"serin.dev/serin/internal/demo/load"
)

// A request that was under way when a run decided something, or that began
// within afterSwitch of it, was there at a switch.
const afterSwitch = time.Second

// atSwitches counts the broken requests that were there at a switch. Those that
// were not kept one by one are taken to have been.
func atSwitches(told []ending, counts load.Counts) int {
	n := counts.Broken - len(counts.Failures)
	for _, f := range counts.Failures {
		if wasThere(told, f) {
			n++
		}
	}
	return n
}

func wasThere(told []ending, f load.Failure) bool {
	for _, e := range told {
		for _, d := range e.last.Decisions {
			if !f.Ended.Before(d.At) && !f.Began.After(d.At.Add(afterSwitch)) {
				return true
			}
		}
	}
	return false
}
