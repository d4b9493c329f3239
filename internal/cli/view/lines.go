package view

import (
	"fmt"
	"slices"
	"time"
)

// Lines says what changed from prev to next, a log line for each change, in the
// order of the changes. With the zero Model as prev it begins with the run.
func Lines(prev, next Model) []string {
	var lines []string
	say := func(at time.Time, text string) {
		lines = append(lines, fmt.Sprintf("%s %s %s → %s: %s", at.Format(time.RFC3339),
			printable(next.Rollout), printable(next.StableVersion), printable(next.CanaryVersion), printable(text)))
	}
	seen := 0
	if prev.Run == next.Run && len(prev.Decisions) > 0 {
		seen = prev.Decisions[0].Seq
	}
	if prev.Run != next.Run {
		say(next.StartedAt, fmt.Sprintf("run %d began", next.Number))
	}
	for _, d := range slices.Backward(next.Decisions) {
		if d.Seq > seen {
			say(d.At, fmt.Sprintf("%s, weight %d %%: %s", d.Kind, d.Weight, d.Text))
		}
	}
	if next.Ended() && (prev.Run != next.Run || !prev.Ended()) {
		end := next.EndedAt
		if end.IsZero() {
			end = next.Now
		}
		say(end, fmt.Sprintf("%s after %s", map[bool]string{true: "promoted", false: "rolled back"}[next.Asked > 0], clock(end.Sub(next.StartedAt))))
	}
	return lines
}
