// Package workload is the port to whatever runs the versions: processes on
// this machine, URLs that somebody else runs, a Deployment. It knows two
// groups of instances and how much traffic each can take; it must not know
// weights in effect, phases or verdicts.
package workload

import (
	"context"
	"errors"
	"io"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Workload runs the stable and the canary group of one rollout.
//
// A group is the set of instances of one version. During a run the stable
// group is the version that served when the run began, the canary group the
// candidate. The groups keep those names until the run ends, also after
// Want.Promoted has made the canary group the one that serves.
type Workload interface {
	// Apply moves the groups towards want and returns without waiting for
	// instances to become ready. It is idempotent: it is called again every
	// tick with the same want, and after a restart of Serin, when it takes over
	// the instances that are still there.
	Apply(ctx context.Context, w Want) error

	// Observe says how both groups are now.
	Observe(ctx context.Context) (Status, error)

	// Close releases what this value holds (watchers, pipes). It does not stop
	// instances.
	Close() error
}

// Want is what should be running.
type Want struct {
	// Stable and Canary are the capacity each group should have, in percent of
	// all traffic; 0 means that the group should not exist. Instances that are
	// to go are asked to end and given the drain time.
	Stable, Canary int
	// Baseline is the capacity of the baseline, in percent of all traffic: fresh
	// instances of stable's version apart from its own. Only a workload that says
	// so of itself (Comparer) is asked for it.
	Baseline int
	// Promoted says that the canary group has become the version that serves:
	// it must survive the end of the run, and the next run's stable group is
	// this one.
	Promoted bool
}

// Status is how the groups are.
type Status struct {
	Stable Group `json:"stable"`
	Canary Group `json:"canary"`
	// Baseline is nil where there are no instances of one and none are wanted.
	Baseline *Group `json:"baseline,omitempty"`
	// Superseded says that the candidate is no longer the version that the user
	// asks for, and what is asked for instead.
	Superseded string `json:"superseded,omitempty"`
}

// Group is one version's instances.
type Group struct {
	Version string `json:"version"`
	// ID is how the platform tells this group's instances from others, for
	// routers and metrics that find instances by themselves. Empty where
	// Instances say all.
	ID        string             `json:"id,omitempty"`
	Instances []rollout.Instance `json:"instances,omitempty"`
	// Leaving is how many more are being stopped: nobody is to send them anything,
	// and they are not gone.
	Leaving int `json:"leaving,omitempty"`
	// Capacity is the percent of all traffic that the ready instances can take.
	Capacity int `json:"capacity"`
	// Restarts counts how often an instance of the group ended by itself since
	// the group was created.
	Restarts int `json:"restarts"`
	// Failed says why the group cannot work and will not recover by waiting: a
	// missing binary, a crash loop. Empty otherwise.
	Failed string `json:"failed,omitempty"`
	// Detail is one line about the latest trouble, for people.
	Detail string `json:"detail,omitempty"`
}

// Ready is the number of instances that can take requests.
func (g Group) Ready() int {
	n := 0
	for _, i := range g.Instances {
		if i.Ready {
			n++
		}
	}
	return n
}

// Endpoints returns the ready instances, or all that have an address when none
// is ready: a router with nowhere to go would answer nobody.
func (g Group) Endpoints() []rollout.Instance {
	var ready []rollout.Instance
	for _, i := range g.Instances {
		if i.Ready {
			ready = append(ready, i)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	var addressed []rollout.Instance
	for _, i := range g.Instances {
		if i.URL != "" {
			addressed = append(addressed, i)
		}
	}
	return addressed
}

// Meter is implemented by workloads that can say what their instances use.
type Meter interface {
	// Usage returns by arm and instance name the processor time used, in cores,
	// since the last call, and the memory resident now, in bytes.
	Usage(ctx context.Context) (map[rollout.Arm]Usage, error)
}

// Usage is what the instances of one group use, by instance name.
type Usage struct {
	CPU    map[string]float64
	Memory map[string]float64
	// MemoryLimit is where an instance's memory ends, in bytes, of those that have
	// one.
	MemoryLimit map[string]float64
}

// Historian is implemented by workloads that remember what stable's instances
// used.
type Historian interface {
	// History returns the ticks of such a length up to now, of rollout.HistorySpan at
	// most; nil where nothing is known.
	History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error)
}

// Logger is implemented by workloads whose logs Serin can read.
type Logger interface {
	// Logs copies the group's logs, oldest first, to sink, which is called once
	// a file with a name such as "shop-v2-0.log".
	Logs(ctx context.Context, arm rollout.Arm, sink Sink) error
}

// Comparer is implemented by workloads that can run a baseline.
type Comparer interface{ RunsBaseline() }

// Sink receives one log; the caller of open closes it.
type Sink func(name string, open func() (io.ReadCloser, error)) error

// ErrRefused is wrapped by errors that trying again cannot mend.
var ErrRefused = errors.New("refused by the workload")
