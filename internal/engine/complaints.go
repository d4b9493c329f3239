package engine

import (
	"fmt"

	"serin.dev/serin/internal/rollout"
)

// Complaints are those that people reported, apart from what a source of
// metrics counts.
type Complaints struct {
	Stable int `json:"stable,omitempty"`
	Canary int `json:"canary,omitempty"`
	// Unknown are those of users of whom nobody knows which version they had:
	// they say nothing about either.
	Unknown int `json:"unknown,omitempty"`
	// OpenStable and OpenCanary are in no tick yet.
	OpenStable int `json:"openStable,omitempty"`
	OpenCanary int `json:"openCanary,omitempty"`
}

// All is how many there are.
func (c Complaints) All() int { return c.Stable + c.Canary + c.Unknown }

// complain counts a complaint and says what becomes of it.
func (l *look) complain(i rollout.Intent) (message string) {
	c := &l.next.Complaints
	about := "the canary"
	switch i.Arm {
	case rollout.Canary:
		c.Canary++
		c.OpenCanary++
	case rollout.Stable:
		c.Stable++
		c.OpenStable++
		about = "stable"
	default:
		c.Unknown++
		return fmt.Sprintf("complaint %d is recorded; which version the user had is not known, so it is not judged (--arm or --version says it)", c.All())
	}
	for _, check := range l.plan.Analysis.Checks {
		if check.Type == rollout.Complaints {
			return fmt.Sprintf("complaint %d is recorded and counts against %s", c.All(), about)
		}
	}
	return fmt.Sprintf("complaint %d, about %s, is recorded; no check of type complaints judges it", c.All(), about)
}

// withComplaints returns a tick together with what people have reported since
// the one before. From the first report on, none is a figure as well. The tick
// that is recorded stays as it was collected: whoever replays it hears the same
// people.
func (n *State) withComplaints(t rollout.Tick) rollout.Tick {
	if n.Complaints.Stable+n.Complaints.Canary == 0 {
		return t
	}
	t.Arms.Stable = reported(t.Arms.Stable, &n.Complaints.OpenStable)
	t.Arms.Canary = reported(t.Arms.Canary, &n.Complaints.OpenCanary)
	return t
}

func reported(s *rollout.Sample, open *int) *rollout.Sample {
	if s == nil {
		return nil
	}
	with := *s
	all := float64(*open)
	if s.Complaints != nil {
		all += *s.Complaints
	}
	with.Complaints = &all
	*open = 0
	return &with
}
