package controller

import (
	"errors"
	"strings"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// standing is where a run stands, as far as people are told at once: no figure
// that changes with every tick is part of it.
type standing struct {
	position string
	weight   int32
	verdict  string
	reason   string
	// person: it goes on only when somebody acts.
	person bool
	// ask is the command by which a person lets it go on.
	ask string
	// trouble is what did not go well outside in the latest look.
	trouble string
	// refused: trying that again cannot mend it, a person has to.
	refused bool
}

// standingOf reads it from a look.
func standingOf(look runner.Look, err error) standing {
	s := standing{position: look.Decision.Position, weight: int32(look.Decision.Weight), verdict: string(look.Decision.Decision)}
	state := look.Run.State
	if s.person = state.Waiting(); s.person {
		s.ask = "promote"
		if rule := state.Hold.Rule; rule == engine.HoldPaused || rule == engine.HoldMoved {
			s.ask = "resume"
		}
	}
	switch {
	case state.Hold != nil:
		s.reason = state.Hold.Message
	case len(state.Cause) > 0:
		s.reason = state.Cause[0].Message
	case look.Decision.Decision != engine.Wait && len(look.Decision.Because) > 0:
		s.reason = look.Decision.Because[0].Message
	}
	if err != nil {
		s.trouble = oneLine(err.Error())
		s.refused = errors.Is(err, traffic.ErrRefused) || errors.Is(err, workload.ErrRefused)
	}
	return s
}

// oneLine makes an error fit for a condition's message.
func oneLine(s string) string {
	const most = 500
	s = strings.ReplaceAll(s, "\n", "; ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
