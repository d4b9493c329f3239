package view

import (
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// History is what the record of a run said so far, as much of it as a view
// shows. The zero value is the history of a run that has just begun.
type History struct {
	// ticks are the latest ones, oldest first, all at one weight.
	ticks []rollout.Tick
	// before is the end of the tick before the first of them.
	before time.Time
	// observed and decided are the latest of their kinds.
	observed *engine.Observation
	decided  *record.Decision
	told     []Decision
	seq      int
}

const (
	// window is the length of time that rates and response times are taken
	// over: long enough to read them, short enough to see a change.
	window = 2 * time.Second
	// toldLimit bounds the decisions kept.
	toldLimit = 32
)

// Add takes in the next line of the record.
func (h *History) Add(e record.Entry) {
	switch {
	case e.Input != nil:
		o := e.Input.Observation()
		h.observed = &o
		if o.Tick != nil {
			h.addTick(*o.Tick)
		}
	case e.Decision != nil:
		h.addDecision(*e.Decision)
	}
}

func (h *History) addTick(t rollout.Tick) {
	if n := len(h.ticks); n > 0 {
		last := h.ticks[n-1]
		if !t.At.After(last.At) || t.Weight != last.Weight {
			h.before, h.ticks = last.At, nil
		}
	}
	h.ticks = append(h.ticks, t)
	for len(h.ticks) > 1 && t.At.Sub(h.ticks[0].At) >= window {
		h.before, h.ticks = h.ticks[0].At, h.ticks[1:]
	}
}

// addDecision keeps a decision when it says something new: where the run is
// has changed, or the answer is not the one before.
func (h *History) addDecision(d record.Decision) {
	was := h.decided
	h.decided = &d
	if len(d.Because) == 0 {
		return
	}
	if was != nil && d.Position == was.Position && d.Decision == was.Decision {
		return
	}
	text := inWords(d)
	if text == "" && was != nil && was.Decision == engine.Hold {
		text = "no longer held"
	}
	if text == "" || len(h.told) > 0 && h.told[len(h.told)-1].Text == text {
		return
	}
	h.seq++
	h.told = append(h.told, Decision{Seq: h.seq, At: d.At, Kind: d.Decision, Phase: d.Phase, Weight: d.Weight, Text: text})
	if len(h.told) > toldLimit {
		h.told = h.told[len(h.told)-toldLimit:]
	}
}

// inWords says a decision in one line; nothing for one that is not worth it.
func inWords(d record.Decision) string {
	lead := d.Because[0]
	switch {
	case d.Decision == engine.Wait:
		// Waiting is told where it says what for, not while a phase is watched.
		last := d.Because[len(d.Because)-1]
		if last.Rule == "" || last.Rule == "watching" {
			return ""
		}
		return last.Message
	case lead.Result != nil && !strings.HasPrefix(lead.Message, lead.Check):
		return lead.Check + ": " + lead.Message
	}
	return lead.Message
}
