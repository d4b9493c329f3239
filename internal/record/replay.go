package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"serin.dev/serin/internal/engine"
)

// maxLine bounds one line of a record.
const maxLine = 64 << 20

// ErrTruncated is wrapped when a record ends inside a line or before its first
// decision.
var ErrTruncated = errors.New("the record is truncated")

// Difference is a decision that came out differently.
type Difference struct {
	Line              int
	Recorded, Decided string
}

// Replayed is the result of a replay.
type Replayed struct {
	Header    Header
	Decisions int
	// Missing is how many decisions are not in the record, as it has gaps.
	Missing int
	// Differences holds the first decisions that differ, at most ten.
	Differences []Difference
	// State is the state after the last decision.
	State engine.State
}

// Entry is one line of a record with what it is.
type Entry struct {
	Line int
	Raw  []byte

	Header       *Header
	Input        *Input
	Decision     *Decision
	Effect       *Effect
	Intent       *Intent
	Gate         *Gate
	Notification *Notification
	Gap          *Gap
}

// Read calls fn for every line. Errors name the line.
func Read(r io.Reader, fn func(Entry) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		raw, err := readLine(br)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		e, err := Parse(raw)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		e.Line, e.Raw = n, raw
		if err := fn(e); err != nil {
			return err
		}
	}
}

// readLine returns a whole line; a last line without its newline is truncated.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("is longer than %d MiB", maxLine>>20)
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			if json.Valid(line) {
				return line, nil
			}
			return nil, fmt.Errorf("%w: the last line is incomplete", ErrTruncated)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// Parse reads one line.
func Parse(raw []byte) (Entry, error) {
	var keys struct {
		Record       *json.RawMessage `json:"record"`
		Observed     *json.RawMessage `json:"observed"`
		Decision     *json.RawMessage `json:"decision"`
		Effect       *json.RawMessage `json:"effect"`
		Intent       *json.RawMessage `json:"intent"`
		Gate         *json.RawMessage `json:"gate"`
		Notification *json.RawMessage `json:"notification"`
		Gap          *json.RawMessage `json:"gap"`
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return Entry{}, fmt.Errorf("is not a JSON object: %w", err)
	}
	var e Entry
	var into any
	switch {
	case keys.Record != nil:
		e.Header = new(Header)
		into = e.Header
	case keys.Decision != nil:
		e.Decision = new(Decision)
		into = e.Decision
	case keys.Observed != nil:
		e.Input = new(Input)
		into = e.Input
	case keys.Effect != nil:
		e.Effect = new(Effect)
		into = e.Effect
	case keys.Intent != nil:
		e.Intent = new(Intent)
		into = e.Intent
	case keys.Gate != nil:
		e.Gate = new(Gate)
		into = e.Gate
	case keys.Notification != nil:
		e.Notification = new(Notification)
		into = e.Notification
	case keys.Gap != nil:
		e.Gap = new(Gap)
		into = e.Gap
	default:
		return Entry{}, errors.New(`is none of the lines of a record; it should have one of "record", "observed", "decision", "effect", "intent", "gate", "notification", "gap"`)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return Entry{}, err
	}
	if e.Header != nil && e.Header.Record != Version {
		return Entry{}, fmt.Errorf("the record has form %d and this program reads form %d; replay it with the version of serin that wrote it", e.Header.Record, Version)
	}
	return e, nil
}

// Replay decides a recorded run again and compares every decision with the
// recorded one, byte for byte.
func Replay(r io.Reader) (Replayed, error) {
	var out Replayed
	var pending *engine.Decision
	var pendingObs engine.Observation
	seen := false
	err := Read(r, func(e Entry) error {
		switch {
		case e.Header != nil:
			if seen {
				return fmt.Errorf("line %d: a second header; a record holds one run", e.Line)
			}
			seen = true
			if len(e.Header.Plan.Phases) == 0 {
				return fmt.Errorf("line %d: the header's plan has no phases", e.Line)
			}
			out.Header = *e.Header
			out.State = engine.Start(e.Header.Plan)
		case !seen:
			return fmt.Errorf("line %d: the record does not begin with its header", e.Line)
		case e.Input != nil:
			if pending != nil {
				return fmt.Errorf("line %d: an observation without its decision before it", e.Line)
			}
			pendingObs = e.Input.Observation()
			d := engine.Decide(out.Header.Plan, out.State, pendingObs)
			pending = &d
		case e.Decision != nil:
			if pending == nil {
				return fmt.Errorf("line %d: a decision without its observation", e.Line)
			}
			again, err := Encode(DecisionOf(pendingObs, *pending))
			if err != nil {
				return fmt.Errorf("line %d: %w", e.Line, err)
			}
			out.Decisions++
			if !bytes.Equal(again, bytes.TrimSpace(e.Raw)) && len(out.Differences) < 10 {
				out.Differences = append(out.Differences, Difference{Line: e.Line, Recorded: string(e.Raw), Decided: string(again)})
			}
			// The next observation was made in the state that was saved, which
			// went through JSON; so does this one.
			out.State, err = roundTrip(pending.Next)
			if err != nil {
				return fmt.Errorf("line %d: %w", e.Line, err)
			}
			pending = nil
		case e.Gap != nil:
			if pending != nil {
				return fmt.Errorf("line %d: an observation without its decision before it", e.Line)
			}
			out.Missing += e.Gap.Gap
			out.State = e.Gap.State
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	if !seen {
		return out, fmt.Errorf("%w: it is empty", ErrTruncated)
	}
	if pending != nil {
		return out, fmt.Errorf("%w: the last observation has no decision", ErrTruncated)
	}
	return out, nil
}

func roundTrip(s engine.State) (engine.State, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	var back engine.State
	return back, json.Unmarshal(data, &back)
}
