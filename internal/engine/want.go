package engine

import (
	"fmt"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// Want is everything that should be true outside in state s. It depends on the
// plan and the state alone.
func (p Plan) Want(s State) Want {
	w := Want{Stable: rollout.Full, Weight: p.percent(&s)}
	switch s.Status {
	case Preparing:
		if s.Stage == Creating || s.Stage == Admitting {
			w.Canary = p.Phases[0].Weight
		}
	case Progressing:
		w.Canary = p.Phases[s.Phase].Weight
		w.Tests = true
		if s.Stage == Admitting && !s.ByInstances {
			w.Canary = p.nextWeight(s.Phase)
		}
	case Promoting:
		w.Canary = rollout.Full
		w.Promoted = true
		if s.Stage == Removing || s.Stage == Finishing {
			w.Stable = 0
		}
	case RollingBack:
		if s.Stage != Removing && s.Stage != Finishing && s.CanaryAsked {
			w.Canary = p.Phases[s.Phase].Weight
		}
	case Promoted:
		w.Stable, w.Canary, w.Promoted = 0, rollout.Full, true
	case RolledBack:
	}
	p.wantBaseline(s, &w)
	for _, j := range p.jobs(s) {
		if !s.Jobs[j.Key].Done && !j.approval {
			w.Jobs = append(w.Jobs, j.Job)
		}
	}
	return w
}

// percent is the canary's weight in state s.
func (p *Plan) percent(s *State) int {
	switch {
	case s.Status == Progressing && s.Suspended:
		return 0
	case s.Status == Progressing && s.Yield != nil:
		return min(p.Phases[s.Phase].Weight, *s.Yield)
	case s.Status == Progressing, s.Status == Promoting && s.Stage == Switching:
		return p.Phases[s.Phase].Weight
	}
	return 0
}

// nextWeight is the weight after phase index; after the last phase the canary
// takes all traffic.
func (p Plan) nextWeight(index int) int {
	if index+1 < len(p.Phases) {
		return p.Phases[index+1].Weight
	}
	return rollout.Full
}

// job is a job together with what its result means.
type job struct {
	Job
	approval  bool
	onFailure rollout.OnFailure
	// bound is the engine time after which it counts as unanswered; 0: never.
	bound rollout.Duration
}

// jobs lists the work that state s waits for, in the order of the file.
func (p Plan) jobs(s State) []job {
	switch s.Status {
	case Preparing:
		switch s.Stage {
		case "":
			return p.hooks(rollout.BeforeCanary, 0)
		case Admitting:
			return p.hooks(rollout.BeforePhase, 1)
		}
	case Progressing:
		if s.Stage != Admitting {
			return nil
		}
		if s.Phase+1 < len(p.Phases) {
			return p.hooks(rollout.BeforePhase, s.Phase+2)
		}
		return p.hooks(rollout.BeforePromote, 0)
	case Promoting:
		switch s.Stage {
		case Gathering:
			return []job{chore(JobLogs)}
		case Finishing:
			return p.hooks(rollout.AfterPromote, 0)
		}
	case RollingBack:
		switch s.Stage {
		case Returning:
			return nil
		case Gathering:
			return append([]job{chore(JobEvidence), chore(JobLogs)}, p.hooks(rollout.OnRollback, 0)...)
		}
		return p.hooks(rollout.OnRollback, 0)
	}
	return nil
}

// hooks lists the hooks at a point; phase counts from 1, 0 outside phases.
func (p Plan) hooks(at rollout.Point, phase int) []job {
	var jobs []job
	for _, h := range p.Hooks {
		if h.At != at || phase > 0 && !h.appliesTo(p.Phases[phase-1].Weight) {
			continue
		}
		key := fmt.Sprintf("%s/%s", at, h.Name)
		if phase > 0 {
			key = fmt.Sprintf("%s/%d/%s", at, phase, h.Name)
		}
		j := job{
			Job:       Job{Key: key, Kind: JobHook, Hook: h.Name, Point: at, Phase: phase},
			approval:  h.Approval,
			onFailure: h.OnFailure,
		}
		switch {
		case !h.Approval:
			j.bound = h.Timeout*rollout.Duration(h.Retries+1) + slack
		case h.Timeout > 0:
			j.bound = h.Timeout
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func (h Hook) appliesTo(weight int) bool {
	return len(h.Weights) == 0 || slices.Contains(h.Weights, weight)
}

// chore is a job of Serin's own; its failure is noted and changes nothing.
func chore(kind JobKind) job {
	return job{Job: Job{Key: string(kind), Kind: kind}, onFailure: rollout.FailIgnore, bound: slack}
}
