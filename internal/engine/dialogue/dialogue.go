// Package dialogue plays runs written as text: a plan, then one line for each
// thing that happens, and after it what the engine decided, in words. It is how
// the engine's tests are written, and what people write to try a plan.
// scenarios/README.md describes the language.
//
// It plays the engine alone against an imagined world: no store, no router, no
// clock, no I/O and no randomness, so a text gives the same words every time.
package dialogue

import (
	"fmt"
	"strings"

	"serin.dev/serin/internal/engine"
)

// File is a text of one or more scenes.
type File struct {
	lines  []line
	Scenes []Scene
}

// Scene is one run: its plan and what happens to it.
type Scene struct {
	Name string
	Plan engine.Plan
	// Line is where the scene begins.
	Line  int
	steps []step
}

// line is one line of the text as it was written.
type line struct {
	text string
	// said marks a line of the engine's words, which are written anew.
	said bool
}

// step is one line that makes something happen.
type step struct {
	line int
	// set changes the world before the look.
	set []action
	// pass lets time go by and looks; nil means one look a moment later.
	pass action
}

// action is one clause of a step, already understood.
type action func(*player) error

// Look is one decision of a play.
type Look struct {
	Was         engine.State
	Observation engine.Observation
	Decision    engine.Decision
}

// Play plays a scene and shows every look to see. It fails when the scene asks
// for what cannot be, such as the answer of a hook that was not called.
func (s Scene) Play(see func(Look)) error {
	_, err := s.play(see)
	return err
}

// play returns what was said after each step.
func (s Scene) play(see func(Look)) ([][]string, error) {
	p := newPlayer(s.Plan, see)
	var said [][]string
	for _, st := range s.steps {
		p.said = nil
		if err := p.step(st); err != nil {
			return nil, fmt.Errorf("line %d: %w", st.line, err)
		}
		said = append(said, p.said)
	}
	return said, nil
}

// Rewrite plays every scene and returns the text with the engine's words as
// they are now.
func (f File) Rewrite() (string, error) {
	after := map[int][]string{}
	for _, s := range f.Scenes {
		said, err := s.play(nil)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Name, err)
		}
		for i, st := range s.steps {
			after[st.line] = said[i]
		}
	}
	var b strings.Builder
	for i, l := range f.lines {
		if l.said {
			continue
		}
		b.WriteString(l.text + "\n")
		for _, words := range after[i+1] {
			b.WriteString("  " + words + "\n")
		}
	}
	return b.String(), nil
}
