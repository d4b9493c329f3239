package engine

import (
	"fmt"

	"serin.dev/serin/internal/rollout"
)

// Baseline is what is known of the fresh instances of stable's version that the
// canary is compared with. They are worth something only while they are as old as
// the canary, so what is lost once stays lost for the run. Nothing ever waits
// for a baseline for long, and its end is no reason against the canary.
type Baseline struct {
	// Up: it has been seen ready, so it gets its share.
	Up bool `json:"up,omitempty"`
	// Lost says why there is none any more; LostAt is the engine time.
	Lost   string           `json:"lost,omitempty"`
	LostAt rollout.Duration `json:"lostAt,omitempty"`
	// Gone: its last requests have had their time since, so it is removed.
	Gone bool `json:"gone,omitempty"`
}

// baseline takes in how the baseline is, before anything is judged by it.
func (l *look) baseline() {
	n := &l.next
	b := &n.Baseline
	switch {
	case !l.plan.Baseline || n.Status != Preparing && n.Status != Progressing:
		return
	case b.Lost != "":
		b.Gone = b.Gone || n.Elapsed-b.LostAt >= l.plan.Drain
		return
	}
	g, c := l.obs.Baseline, l.obs.Canary
	share := l.plan.BaselineWeight(l.weight())
	switch {
	case !n.CanaryAsked || g == nil:
	case g.Failed != "":
		l.loseBaseline(g.Failed)
	case g.Restarts > 0:
		l.loseBaseline("it ended by itself" + detail(g.Detail))
	case c != nil && c.Restarts > 0:
		l.loseBaseline("the canary was started again, so the two are no longer of one age")
	case b.Up && g.Capacity < share:
		l.loseBaseline(fmt.Sprintf("it has ready capacity for %d %% of the traffic and gets %d %%%s", g.Capacity, share, detail(g.Detail)))
	}
}

func (l *look) loseBaseline(why string) {
	n := &l.next
	n.Baseline.Up = false
	n.Baseline.Lost, n.Baseline.LostAt = why, n.Elapsed
}

// lostBaseline is the reason to tell in the look in which the baseline was lost.
func (l *look) lostBaseline() []Reason {
	if l.was.Baseline.Lost != "" || l.next.Baseline.Lost == "" {
		return nil
	}
	return []Reason{note("noBaseline", "the baseline is given up: "+l.next.Baseline.Lost+
		". The canary is compared with stable instead, its response times and use of the machine once it is warm")}
}

// awaitBaseline reports that the canary is to wait for its baseline, so that
// both begin at once. It waits for a quarter of the time that the canary itself
// may take, then goes on without.
func (l *look) awaitBaseline(weight int) bool {
	b := &l.next.Baseline
	share := l.plan.BaselineWeight(weight)
	if share == 0 || b.Lost != "" {
		return false
	}
	if g := l.obs.Baseline; g != nil && g.Capacity >= share {
		b.Up = true
		return false
	}
	if l.inStage() > l.plan.Prepare/4 {
		why := "it was not ready within " + round(l.plan.Prepare/4)
		if g := l.obs.Baseline; g != nil {
			why += detail(g.Detail)
		}
		l.loseBaseline(why)
		return false
	}
	return true
}

// judged is a tick as it is judged: without the figures of a baseline that was
// lost in it.
func (l *look) judged(t rollout.Tick) rollout.Tick {
	if l.next.Baseline.Lost != "" {
		t.Arms.Baseline = nil
	}
	return t
}

// baselineGone reports that no instance of the baseline is left.
func (l *look) baselineGone() bool {
	return l.obs.Baseline == nil || l.obs.Baseline.Instances == 0
}

// wantBaseline fills in what should be true of the baseline in state s. It grows
// with the canary, loses its traffic with it, and never shrinks before the end,
// for its requests to finish.
func (p Plan) wantBaseline(s State, w *Want) {
	if !p.Baseline || s.Baseline.Gone || s.ByInstances {
		return
	}
	switch s.Status {
	case Preparing:
		w.Baseline = p.BaselineWeight(w.Canary)
	case Progressing:
		w.Baseline = max(p.baselineSize(s.Phase), p.BaselineWeight(w.Canary))
		if s.Baseline.Up {
			w.BaselineWeight = min(w.Baseline, p.BaselineWeight(w.Weight))
		}
	case Promoting:
		if s.Stage == Switching || s.Stage == Draining {
			w.Baseline = p.baselineSize(s.Phase)
		}
	case RollingBack:
		if w.Canary > 0 {
			w.Baseline = p.baselineSize(s.Phase)
		}
	}
}

// baselineSize is the capacity that the phases up to one have needed.
func (p Plan) baselineSize(phase int) int {
	size := 0
	for _, ph := range p.Phases[:phase+1] {
		size = max(size, p.BaselineWeight(ph.Weight))
	}
	return size
}
