package dialogue

import (
	"fmt"
	"slices"
	"strings"

	"serin.dev/serin/internal/engine"
)

// Parse reads a text. Errors name the line and list what could stand there.
func Parse(text string) (File, error) {
	p := parser{plan: newDraft()}
	for i, raw := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		p.at = i + 1
		if err := p.line(raw); err != nil {
			return File{}, fmt.Errorf("line %d: %w", p.at, err)
		}
	}
	if err := p.endScene(); err != nil {
		return File{}, err
	}
	if len(p.file.Scenes) == 0 {
		return File{}, fmt.Errorf("line %d: no scene; begin one with a line such as: -- a good release --", p.at)
	}
	return p.file, nil
}

type parser struct {
	file File
	at   int
	// plan is the file's, own the current scene's.
	plan, own draft
	scene     *Scene
}

func (p *parser) line(raw string) error {
	text := strings.TrimSpace(raw)
	said := strings.HasPrefix(text, saysMark) || strings.HasPrefix(text, alsoMark)
	p.file.lines = append(p.file.lines, line{text: strings.TrimRight(raw, " \t\r"), said: said})
	switch {
	case said && (p.scene == nil || len(p.scene.steps) == 0):
		return fmt.Errorf("%q is what the engine says, and nothing has happened yet", text)
	case said, text == "", strings.HasPrefix(text, "#"):
		return nil
	case strings.HasPrefix(text, "--"):
		return p.begin(text)
	}
	return p.clauses(text)
}

// begin begins a scene.
func (p *parser) begin(text string) error {
	name, closed := strings.CutSuffix(strings.TrimPrefix(text, "--"), "--")
	name = strings.TrimSpace(name)
	if !closed || name == "" {
		return fmt.Errorf("%q does not begin a scene; write one such as: -- a good release --", text)
	}
	if err := p.endScene(); err != nil {
		return err
	}
	if slices.ContainsFunc(p.file.Scenes, func(s Scene) bool { return s.Name == name }) {
		return fmt.Errorf("there is a scene %q already", name)
	}
	p.scene, p.own = &Scene{Name: name, Line: p.at}, p.plan.clone()
	return nil
}

func (p *parser) endScene() error {
	if p.scene == nil {
		return nil
	}
	if len(p.scene.steps) == 0 {
		return fmt.Errorf("line %d: nothing happens in scene %q", p.scene.Line, p.scene.Name)
	}
	p.file.Scenes = append(p.file.Scenes, *p.scene)
	p.scene = nil
	return nil
}

// clauses reads a line of the plan, or a step: clauses between semicolons that
// all happen before one look.
func (p *parser) clauses(text string) error {
	words, err := split(text)
	if err != nil {
		return err
	}
	if m, ok := find(planForms, words); ok {
		return p.planLine(m)
	}
	if p.scene == nil {
		return unknown(words, planForms)
	}
	st := step{line: p.at}
	for _, clause := range clausesOf(words) {
		if err := p.clause(&st, clause); err != nil {
			return err
		}
	}
	if len(p.scene.steps) == 0 {
		if p.scene.Plan, err = p.own.plan(); err != nil {
			return fmt.Errorf("the plan of scene %q: %w", p.scene.Name, err)
		}
	}
	p.scene.steps = append(p.scene.steps, st)
	return nil
}

func (p *parser) clause(st *step, words []word) error {
	if m, ok := find(timeForms, words); ok {
		if st.pass != nil {
			return fmt.Errorf("time passes twice in one line; write two lines")
		}
		act, err := m.read()
		st.pass = act
		return err
	}
	m, ok := find(worldForms, words)
	if !ok {
		return unknown(words, slices.Concat(timeForms, worldForms))
	}
	act, err := m.read()
	if err != nil {
		return err
	}
	st.set = append(st.set, act)
	return nil
}

func (p *parser) planLine(m match[planAction]) error {
	act, err := m.read()
	switch {
	case err != nil:
		return err
	case p.scene == nil:
		act(&p.plan)
	case len(p.scene.steps) > 0:
		return fmt.Errorf("the run has begun and its plan is pinned; move this line up, or begin another scene")
	default:
		act(&p.own)
	}
	return nil
}

// draft is a plan being written.
type draft struct{ engine.Plan }

func (d draft) clone() draft {
	d.Phases = slices.Clone(d.Phases)
	d.Analysis.Checks = slices.Clone(d.Analysis.Checks)
	d.Tests = slices.Clone(d.Tests)
	d.Hooks = slices.Clone(d.Hooks)
	return d
}
