package record

import (
	"fmt"
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
)

// Gap stands for looks whose lines were dropped, as nothing could be saved for
// long. They were decided and acted on like any other; a replay goes on from the
// state that they came to.
type Gap struct {
	// Gap is how many looks it stands for, from Since to At.
	Gap   int       `json:"gap"`
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	// Moved are the decisions among them that moved the run or answered a person.
	Moved []Decision `json:"moved,omitempty"`
	// Dropped counts what is left out beside the looks: decisions that moved the
	// run, and effects, the oldest when there were too many.
	Dropped int          `json:"dropped,omitempty"`
	State   engine.State `json:"state"`
}

// mostKept is how many decisions in a gap, and effects beside it, are kept.
const mostKept = 200

// Thin puts a gap in the place of all looks in lines, the last of which came to
// state. What else is in lines is kept after it.
func Thin(lines []Line, state engine.State) ([]Line, error) {
	gap := Gap{Actor: Serin, State: state}
	var kept []Line
	last := ""
	for _, line := range lines {
		e, err := Parse(line)
		if err != nil {
			return nil, fmt.Errorf("thin the record: %w", err)
		}
		switch {
		case e.Gap != nil:
			gap.Gap, gap.Dropped = gap.Gap+e.Gap.Gap, gap.Dropped+e.Gap.Dropped
			gap.Since, gap.At = first(gap.Since, e.Gap.Since), e.Gap.At
			gap.Moved = append(gap.Moved, e.Gap.Moved...)
		case e.Input != nil:
		case e.Decision != nil:
			d := *e.Decision
			gap.Gap++
			gap.Since, gap.At = first(gap.Since, d.At), d.At
			if is := fmt.Sprint(d.Position, d.Decision, d.Weight); is != last || len(d.Answered) > 0 {
				gap.Moved, last = append(gap.Moved, d), is
			}
		default:
			kept = append(kept, line)
		}
	}
	gap.Dropped += max(len(gap.Moved)-mostKept, 0) + max(len(kept)-mostKept, 0)
	gap.Moved = gap.Moved[max(len(gap.Moved)-mostKept, 0):]
	line, err := Encode(gap)
	if err != nil {
		return nil, fmt.Errorf("thin the record: %w", err)
	}
	return slices.Insert(kept[max(len(kept)-mostKept, 0):], 0, line), nil
}

func first(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
