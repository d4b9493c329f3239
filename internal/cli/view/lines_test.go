package view

import (
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// log carries a run to its end and returns what a log gets of it.
func log(p *player, every int) []string {
	var lines []string
	shown := Model{}
	for i := 0; !p.run.State.Ended() && i < 4000; i++ {
		p.step()
		if i%every == 0 || p.run.State.Ended() {
			m := p.model()
			lines = append(lines, Lines(shown, m)...)
			shown = m
		}
	}
	return lines
}

func TestALogHasOneLineAChange(t *testing.T) {
	p := newPlayer(t, nil).until(inPhase(2))
	p.intents = []rollout.Intent{{ID: "1", Kind: rollout.Pause, At: p.now, Actor: "ada", Reason: "lunch"}}
	p.play(2 * time.Second)
	before := p.model()
	p.intents = []rollout.Intent{{ID: "2", Kind: rollout.Resume, At: p.now, Actor: "ada"}}
	p.play(time.Second)
	changes := append(Lines(Model{}, before), Lines(before, p.model())...)
	for i, want := range []string{
		"run 3 began", "0 of 1 instances", "phase 1 begins at 5 %", "phase 2 begins at 10 %",
		"hold, weight 10 %: ada paused the run: lunch", "no longer held",
	} {
		if i >= len(changes) || !strings.Contains(changes[i], want) {
			t.Fatalf("line %d does not say %q:\n%s", i, want, strings.Join(changes, "\n"))
		}
	}
	if len(changes) != 6 {
		t.Errorf("there are more lines than changes:\n%s", strings.Join(changes, "\n"))
	}
}

// Looking seldom loses no change, and looking again tells nothing twice.
func TestALogIsTheSameHoweverOftenOneLooks(t *testing.T) {
	often, seldom := strings.Join(log(newPlayer(t, nil), 1), "\n"), strings.Join(log(newPlayer(t, nil), 13), "\n")
	if often != seldom {
		t.Errorf("looking at every step:\n%s\nlooking at every 13th:\n%s", often, seldom)
	}
	m := newPlayer(t, nil).until(engine.State.Ended).model()
	if again := Lines(m, m); len(again) > 0 {
		t.Errorf("told twice: %q", again)
	}
}
