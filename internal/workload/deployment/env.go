package deployment

import (
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

// Env is where a Deployment is and how it is reached.
type Env struct {
	kube.Env
	// Pods gives access to the logs of pods; nil where there are none.
	Pods corev1client.PodsGetter
	// Events tell of changes at once; nil means that nobody hears of them before
	// the next look.
	Events *Events
	// HoldAlways keeps the Deployment paused between runs too: for an API server
	// that has no MutatingAdmissionPolicy.
	HoldAlways bool
	// Run is the run that goes on. Only a Workload needs it.
	Run Run
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Run is what a Workload needs to know about its run.
type Run struct {
	// Name and UID are the CanaryRun's. It owns the canary's ReplicaSet until
	// the Deployment does.
	Name string
	UID  types.UID
	// Stable and Canary are the two revisions, as Inspect told them when the run
	// began.
	Stable, Canary serinv1.Revision
	// PodRatio sizes the canary for a plain Service, where the share of pods is
	// the share of traffic.
	PodRatio bool
	// Baseline says that the plan has one.
	Baseline bool
}

func (e Env) logger() *slog.Logger {
	if e.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Logger
}

func (e Env) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}
