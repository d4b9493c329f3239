package view

import (
	"fmt"
	"time"

	"serin.dev/serin/internal/engine"
)

// title says what is released.
func (p page) title() row {
	m := p.model
	r := row{}.add(bold, " "+m.Rollout).add(plain, "  ").
		add(plain, m.StableVersion).add(dim, " → ").add(boldCyan, m.CanaryVersion)
	end := m.Now
	if !m.EndedAt.IsZero() {
		end = m.EndedAt
	}
	right := clock(end.Sub(m.StartedAt)) + " "
	if m.Number > 0 {
		right = fmt.Sprintf("run %d   %s", m.Number, right)
	}
	return r.rightBound(p.width, dim, right)
}

// narrowest is the shortest track of a phase that has room for its label.
const narrowest = 7

// timeline says how far the run is: a track for each phase, all of them
// together as wide as the page.
func (p page) timeline() []row {
	phases := p.model.Phases
	if len(phases) == 0 || (p.width-2)/len(phases) <= narrowest {
		return append(p.wholeTrack(), p.position())
	}
	start := func(i int) int { return 1 + i*(p.width-1)/len(phases) }
	var labels, line row
	for i, ph := range phases {
		sign, s, lineStyle := "·", dim, dim
		fraction := float64(ph.Watched) / float64(max(ph.Duration, 1))
		switch ph.State {
		case Passed:
			sign, s, lineStyle, fraction = "✓", green, green, 1
		case Watching:
			sign, s, lineStyle = "▸", boldCyan, cyan
		case Stopped:
			sign, s, lineStyle = "✗", boldRed, red
		}
		labels = labels.at(start(i)).add(s, fmt.Sprintf("%s %d %%", sign, ph.Weight))
		done, ahead := track(fraction, start(i+1)-start(i)-1)
		line = line.at(start(i)).add(lineStyle, done).add(dim, ahead)
	}
	return []row{labels, line, p.position()}
}

// wholeTrack shows a plan of many phases as one line.
func (p page) wholeTrack() []row {
	m := p.model
	if len(m.Phases) == 0 {
		return nil
	}
	var watched, whole time.Duration
	s := cyan
	for _, ph := range m.Phases {
		watched += ph.Watched
		whole += ph.Duration
		if ph.State == Stopped {
			s = red
		}
	}
	if m.Ended() && s != red {
		s = green
	}
	first, last := m.Phases[0].Weight, m.Phases[len(m.Phases)-1].Weight
	labels := row{}.add(dim, fmt.Sprintf(" %d %%", first)).rightBound(p.width-1, dim, fmt.Sprintf("%d %%", last))
	done, ahead := track(float64(watched)/float64(max(whole, 1)), p.width-2)
	return []row{labels, row{}.add(plain, " ").add(s, done).add(dim, ahead)}
}

// position says in words where the run is.
func (p page) position() row {
	m := p.model
	took := ""
	if !m.EndedAt.IsZero() {
		took = " after " + clock(m.EndedAt.Sub(m.StartedAt))
	}
	r := row{}.add(plain, " ")
	switch m.Status {
	case engine.Promoted:
		return r.add(attainment, " promoted ").add(plain, " "+m.CanaryVersion+" is the stable version now"+took)
	case engine.RolledBack:
		return r.add(alarm, " rolled back ").add(plain, " "+m.StableVersion+" has all traffic"+took)
	case engine.RollingBack:
		return r.add(alarm, " rolling back ").add(plain, " "+stageWords[m.Stage])
	case engine.Promoting:
		return r.add(boldGreen, "promoting").add(plain, "  "+stageWords[m.Stage])
	case engine.Progressing:
		return p.watching(r)
	}
	return r.add(boldCyan, "preparing").add(plain, "  "+p.preparing())
}

func (p page) watching(r row) row {
	m := p.model
	ph := m.Phases[m.Current]
	r = r.add(plain, fmt.Sprintf("phase %d of %d", m.Current+1, len(m.Phases)))
	switch {
	case m.Stage == engine.Admitting:
		r = r.add(plain, "   passed; the next one is being admitted")
	case m.Hold != nil:
		r = r.add(plain, "   ").add(yellow, "held")
	default:
		r = r.add(plain, "   ").add(bold, left(ph.Duration-ph.Watched)).add(plain, " left")
	}
	return r.rightBound(p.width-1, dim, "all phases: "+left(m.Left)+" left")
}

// preparing says what a run that is being prepared waits for.
func (p page) preparing() string {
	if len(p.model.Decisions) > 0 {
		return p.model.Decisions[0].Text
	}
	return "the new version is being started; it gets no traffic yet"
}

var stageWords = map[engine.Stage]string{
	engine.Switching: "all traffic is being given to the tested instances",
	engine.Returning: "traffic is going back to stable",
	engine.Draining:  "requests that are under way are finishing",
	engine.Gathering: "evidence and logs are being kept",
	engine.Removing:  "instances that are not needed any more are being stopped",
	engine.Finishing: "the last hooks are running",
}
