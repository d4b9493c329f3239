package judge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
)

// line is an input line. What must be there is a pointer, so that leaving it
// out can be told from a zero.
type line struct {
	Tick   *string       `json:"tick"`
	Weight *int          `json:"weight"`
	Arms   *rollout.Arms `json:"arms"`
	// Unsplit is for ticks whose figures hold requests that the weight did not
	// send.
	Unsplit []rollout.Arm `json:"unsplit"`
	// History is what stable's instances used before the run.
	History *rollout.History `json:"history"`
	// Observed is there when the line comes from a record; the judge stream has
	// no use for it.
	Observed json.RawMessage `json:"observed"`
}

// parse reads one line. A key that nobody knows is no mistake of the stream,
// which may come from a newer program, but is among the unknown: it may be a
// misspelt one, whose figures are then missing.
func parse(raw []byte) (t rollout.Tick, unknown []string, err error) {
	if t, unknown, err = parseLine(raw); err != nil {
		if rewritten, ok := withWholeNumbers(raw); ok {
			if t, unknown, again := parseLine(rewritten); again == nil {
				return t, unknown, nil
			}
		}
	}
	return t, unknown, err
}

func parseLine(raw []byte) (t rollout.Tick, unknown []string, err error) {
	var in line
	if err := decode(raw, &in, true); err != nil {
		if !strings.HasPrefix(err.Error(), "json: unknown field ") {
			return t, nil, err
		}
		in = line{}
		if err := decode(raw, &in, false); err != nil {
			return t, nil, err
		}
		unknown = unknownKeys(raw)
	}
	switch {
	case string(bytes.TrimSpace(raw)) == "null":
		return t, nil, errors.New("is a JSON null where an object belongs")
	case in.Tick == nil:
		return t, nil, errors.New(`tick: is missing; write the end of the interval, such as "2026-01-01T00:00:10Z"`)
	case in.Weight == nil:
		return t, nil, errors.New("weight: is missing; write the share in effect during the tick, 0 to 100")
	case in.Arms == nil:
		return t, nil, errors.New(`arms: is missing; write {"stable":…,"canary":…}, null for an arm whose scrape failed`)
	}
	if err := nullInside(raw); err != nil {
		return t, nil, err
	}
	if err := uncounted(raw, in.Arms); err != nil {
		return t, nil, err
	}
	at, err := time.Parse(time.RFC3339, *in.Tick)
	if err != nil {
		return t, nil, fmt.Errorf("tick: %.60q is not a time; write one such as 2026-01-01T00:00:10Z", *in.Tick)
	}
	return rollout.Tick{At: at, Weight: *in.Weight, Arms: *in.Arms, Unsplit: in.Unsplit, History: in.History}, unknown, nil
}

// uncounted says where an exception does not tell how often it was seen. That it
// was seen 0 times would be read as that it is known from before the run, and not
// be held against the canary.
func uncounted(raw []byte, arms *rollout.Arms) error {
	of := func(s *rollout.Sample) []rollout.Exception {
		if s == nil {
			return nil
		}
		return s.Exceptions
	}
	all := slices.Concat(of(arms.Stable), of(arms.Canary), of(arms.Baseline))
	if !slices.ContainsFunc(all, func(x rollout.Exception) bool { return x.Count == 0 }) {
		return nil
	}
	type arm struct {
		Exceptions []struct {
			Count *float64 `json:"count"`
		} `json:"exceptions"`
	}
	var counts struct {
		Arms struct{ Stable, Canary, Baseline arm } `json:"arms"`
	}
	if err := json.Unmarshal(raw, &counts); err != nil {
		return inWords(err)
	}
	for _, a := range []struct {
		name string
		arm
	}{{"stable", counts.Arms.Stable}, {"canary", counts.Arms.Canary}, {"baseline", counts.Arms.Baseline}} {
		for i, x := range a.Exceptions {
			if x.Count == nil {
				return fmt.Errorf("arms.%s.exceptions[%d].count: is missing; write how often it was seen, 0 when it is known from before the run", a.name, i)
			}
		}
	}
	return nil
}

func decode(raw []byte, into any, strict bool) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(into); err != nil {
		return inWords(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the JSON object; write one object a line")
	}
	return nil
}

// wanted is what belongs where another value was found.
func wanted(wrong *json.UnmarshalTypeError) string {
	switch wrong.Type.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		if strings.HasPrefix(wrong.Value, "number") {
			return "a number that can be counted to"
		}
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text in quotes"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// inWords says what is wrong in the words of the stream, not of Go.
func inWords(err error) error {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("is a JSON %s where an object belongs", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s does not belong there; write %s", wrong.Field, wrong.Value, wanted(wrong))
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON: %w (at byte %d)", syntax, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is not JSON: the line ends too early")
	}
	return err
}
