package workload

import (
	"cmp"
	"context"
	"slices"

	"serin.dev/serin/internal/exceptions"
	"serin.dev/serin/internal/rollout"
)

// Thrower is implemented by workloads that can say which exceptions their
// instances' logs tell of.
type Thrower interface {
	// Exceptions returns by arm what was logged since the last call. An arm whose
	// logs were read is in the result, with an empty list when they tell of none.
	// An exception with a count of 0 is a class that the arm had before the run.
	// What an error keeps back comes with the next call, or is lost.
	Exceptions(ctx context.Context) (map[rollout.Arm][]rollout.Exception, error)
}

// mostThrown is how many classes one instance tells of in one tick.
const mostThrown = 200

// Thrown turns what a log told into what an instance threw: seen within the
// tick, and known from earlier. The critical ones and the most frequent come
// first when there are too many. Stacks are kept where they are asked for.
func Thrown(instance string, seen, known []exceptions.Seen, stacks bool) []rollout.Exception {
	seen = slices.Clone(seen)
	slices.SortStableFunc(seen, func(a, b exceptions.Seen) int {
		if a.Critical != b.Critical {
			if a.Critical {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Count, a.Count)
	})
	var out []rollout.Exception
	for _, s := range seen[:min(len(seen), mostThrown)] {
		x := rollout.Exception{Class: s.Class, Instance: instance, Count: float64(s.Count), Critical: s.Critical}
		if stacks {
			x.Stack = s.Stack
		}
		out = append(out, x)
	}
	for _, s := range known[:min(len(known), mostThrown)] {
		out = append(out, rollout.Exception{Class: s.Class, Instance: instance})
	}
	return out
}
