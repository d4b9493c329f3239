package backtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Version is one version of a service, and when it was there.
type Version struct {
	Name string
	// Seen are the times at which it had figures, in order, at steps of one
	// length, and how much of it there was: instances or requests.
	Seen []Sighting
}

// Sighting is how much there was of a version at a time.
type Sighting struct {
	At     time.Time
	Amount float64
}

// Found is a release as it happened: a new version appeared beside another.
type Found struct {
	Window
	Stable string `json:"stable"`
	Canary string `json:"canary"`
	// Ended is how, as far as the series tell.
	Ended Ending `json:"ended"`
}

// Ending is how a release ended.
type Ending string

const (
	// Promoted: the version before went, CanaryGone: the new one did, be it
	// rolled back or crashed.
	Promoted   Ending = "promoted"
	CanaryGone Ending = "canaryGone"
	// Superseded: another new version appeared.
	Superseded Ending = "superseded"
	// Open: both are there at the range's end.
	Open Ending = "open"
)

// Unseen is a time about which the series of versions say nothing, and what may
// have happened in it.
type Unseen struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Message string    `json:"message"`
}

const (
	// lapse is how long a version may be without figures and still be there: for
	// so long Prometheus goes on answering with a series that has ended.
	lapse = 5 * time.Minute
	// leadSteps is how many steps before a version is first seen its release is
	// taken to begin: its first requests came before there was a rate of them.
	leadSteps = 3
)

// Trim leaves out the last ticks of a release that was found, those without
// figures of one version: the release had ended. A canary that falls silent
// within a release is left as it is.
func Trim(ticks []rollout.Tick) ([]rollout.Tick, error) {
	for n := len(ticks); n > 0; n-- {
		if requests(ticks[n-1].Arms.Canary) > 0 && requests(ticks[n-1].Arms.Stable) > 0 {
			return ticks[:n], nil
		}
	}
	return nil, ErrNothing
}

// Find looks through a window for releases: a version that was not there appears
// beside one that was. step is the distance of the sightings.
func Find(versions []Version, w Window, step time.Duration) (found []Found, unseen []Unseen) {
	s := search{window: w, step: step, last: map[string]time.Time{}, next: make([]int, len(versions))}
	s.seen = w.From.Add(-step)
	for at := w.From; !at.After(w.To); at = at.Add(step) {
		there := s.at(versions, at)
		if len(there) == 0 {
			continue // nobody was recorded
		}
		s.look(at, there)
	}
	if s.open {
		s.close(s.both(), Open)
	}
	s.hole(w.To)
	return s.found, s.unseen
}

// search is Find in progress.
type search struct {
	window Window
	step   time.Duration
	// next is, for each version, its first sighting that was not looked at.
	next []int
	// last is when each version was last there; serving the one that had the
	// traffic before any release.
	last    map[string]time.Time
	serving string
	// seen is when any was last there.
	seen time.Time
	// open says that a release is going on, of canary.
	open   bool
	began  time.Time
	canary string

	found  []Found
	unseen []Unseen
}

// at are the versions that are there at a time, most of it first.
func (s *search) at(versions []Version, at time.Time) []string {
	type one struct {
		name   string
		amount float64
	}
	var there []one
	for i, v := range versions {
		for s.next[i] < len(v.Seen) && !v.Seen[s.next[i]].At.After(at) {
			p := v.Seen[s.next[i]]
			if s.next[i]++; p.Amount > 0 && !math.IsInf(p.Amount, 0) && at.Sub(p.At) < s.step {
				there = append(there, one{v.Name, p.Amount})
			}
		}
	}
	slices.SortFunc(there, func(a, b one) int { return cmp.Or(-cmp.Compare(a.amount, b.amount), cmp.Compare(a.name, b.name)) })
	names := make([]string, len(there))
	for i, v := range there {
		names[i] = v.name
	}
	return names
}

// look takes in which versions are there.
func (s *search) look(at time.Time, there []string) {
	first := s.serving == ""
	blind := at.Sub(s.seen) > lapse && !first
	s.hole(at)
	before := s.seen
	s.seen = at
	switch {
	case first:
		s.serving = there[0]
		for _, v := range there[1:] {
			s.note(s.window.From, at, fmt.Sprintf("%s was there beside %s from the beginning: begin the range before it came", v, s.serving))
		}
	case blind:
		s.afterHole(before, at, there)
	default:
		s.end(at)
		for _, v := range there {
			if was, known := s.last[v]; v != s.serving && (!s.open || v != s.canary) && (!known || at.Sub(was) > lapse) {
				s.begin(at, v)
			}
		}
	}
	for _, v := range there {
		s.last[v] = at
	}
}

// end ends a release of which one version has gone.
func (s *search) end(at time.Time) {
	if !s.open {
		return
	}
	switch {
	case at.Sub(s.last[s.canary]) > lapse:
		s.close(s.last[s.canary], CanaryGone)
	case at.Sub(s.last[s.serving]) > lapse:
		s.close(s.last[s.serving], Promoted)
		s.serving = s.canary
	}
}

// begin begins the release of a version.
func (s *search) begin(at time.Time, version string) {
	if s.open {
		s.close(at.Add(-s.step), Superseded)
	}
	if at.Sub(s.last[s.serving]) > s.step {
		// It took the other's place from one moment to the next.
		s.note(s.last[s.serving], at, fmt.Sprintf("%s took the place of %s and the two were never there together: there is nothing to compare", version, s.serving))
		s.serving = version
		return
	}
	s.open, s.canary = true, version
	if s.began = at.Add(-leadSteps * s.step); s.began.Before(s.window.From) {
		s.began = s.window.From
	}
}

func (s *search) close(at time.Time, how Ending) {
	s.open = false
	s.found = append(s.found, Found{Window{s.began, at}, s.serving, s.canary, how})
}

// both is when both versions of a release were last there.
func (s *search) both() time.Time {
	if a, b := s.last[s.canary], s.last[s.serving]; a.Before(b) {
		return a
	} else {
		return b
	}
}

// afterHole takes in who is there after a time of which nothing is known.
func (s *search) afterHole(from, at time.Time, there []string) {
	if s.open && slices.Contains(there, s.serving) && slices.Contains(there, s.canary) {
		return // the hole is within the release, and is said with it
	}
	if s.open {
		s.close(s.both(), Open)
	}
	if there[0] != s.serving {
		s.note(from, at, fmt.Sprintf("%s came in place of %s while nothing was recorded: that release was not seen", there[0], s.serving))
		s.serving = there[0]
	}
	for _, v := range there[1:] {
		if v != s.serving {
			s.note(from, at, fmt.Sprintf("%s came while nothing was recorded: the beginning of its release was not seen", v))
		}
	}
}

// hole notes that no version at all was there since the last was.
func (s *search) hole(at time.Time) {
	if at.Sub(s.seen) > lapse {
		s.note(s.seen, at, "no version is recorded")
	}
}

func (s *search) note(from, to time.Time, message string) {
	if from.Before(s.window.From) {
		from = s.window.From
	}
	s.unseen = append(s.unseen, Unseen{from, to, message})
}
