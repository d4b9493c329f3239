package process

import (
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// group is one version's instances and what has happened to them together. Its
// fields are guarded by Workload.mu.
type group struct {
	id      int
	version workload.Version
	// restarts counts the instances that ended by themselves.
	restarts int
	// trouble is the latest that went wrong, for people.
	trouble string
	// noted is closed once the memory that knows this group has been saved, or
	// could not be; nil before it is told to be, and of no group that is known.
	noted <-chan struct{}
}

// group returns the group with that number; the caller holds w.mu.
func (w *Workload) group(id int) *group {
	if g := w.groups[id]; g != nil {
		return g
	}
	g := &group{id: id}
	switch {
	case id == w.memory.Serving.ID, id == w.memory.Baseline:
		g.version = w.memory.Serving.Version
	case id == w.candidateID():
		g.version = w.memory.Candidate.Version
	}
	w.groups[id] = g
	return g
}

// candidateID is the number of the candidate's group, 0 without one.
func (w *Workload) candidateID() int {
	if w.memory.Candidate == nil {
		return 0
	}
	return w.memory.Candidate.ID
}

// observe describes a group; the caller holds w.mu.
func (w *Workload) observe(g *group) workload.Group {
	out := workload.Group{Version: g.version.Version, Restarts: g.restarts, Detail: g.trouble}
	for _, i := range w.instances {
		if i.group != g {
			continue
		}
		if i.stopRequested() {
			out.Leaving++
			continue
		}
		s := i.status()
		if s.url != "" { // else it is not far enough to be anybody's address
			out.Instances = append(out.Instances, rollout.Instance{Name: i.name, URL: s.url, Ready: s.ready})
		}
		if s.failure != "" && out.Failed == "" {
			out.Failed = s.failure
		}
		if !s.ready && s.detail != "" {
			out.Detail = s.detail
		}
	}
	out.Capacity = min(100, 100*out.Ready()/w.cfg.Replicas)
	return out
}
