package deployment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
)

// Workload is a Deployment during one run. It implements workload.Workload,
// Logger, Notifier, Thrower, Witness and Comparer.
type Workload struct {
	*Target
	run     Run
	changed chan struct{}

	mu sync.Mutex
	// want is the latest that was asked for.
	want workload.Want
	// refused is why the API server does not take the canary's ReplicaSet.
	refused refusal
	// enough is the latest size at which the canary was complete.
	enough enough
	// promoting is since when a promotion waits for its pods.
	promoting time.Time
	// restarts counts by pod, so that a pod that is replaced still counts.
	restarts map[types.UID]int
	// fresh is the baseline.
	fresh baseline
	// thrown is how far the logs have been read for exceptions.
	thrown readers
}

var (
	_ workload.Workload = (*Workload)(nil)
	_ workload.Logger   = (*Workload)(nil)
	_ workload.Notifier = (*Workload)(nil)
	_ workload.Comparer = (*Workload)(nil)
)

// New returns the Deployment of the run in env. It changes nothing yet.
func New(c Config, env Env) (*Workload, error) {
	t, err := NewTarget(c, env)
	if err != nil {
		return nil, err
	}
	r := env.Run
	if r.Name == "" || r.UID == "" || r.Stable.Hash == "" || r.Canary.Hash == "" || r.Stable.ReplicaSet == "" {
		return nil, fmt.Errorf("carry a run of Deployment %s: the run has no name, no UID or no revisions: %w", t.key(), workload.ErrRefused)
	}
	if r.Canary.ReplicaSet == "" {
		r.Canary.ReplicaSet = setName(c.Name, r.Canary.Hash)
	}
	w := &Workload{Target: t, run: r, changed: make(chan struct{}, 1), restarts: map[types.UID]int{}, fresh: newBaseline(c.Name, r), thrown: readers{born: env.now()}}
	if env.Events != nil {
		if err := env.Events.add(w); err != nil {
			return nil, fmt.Errorf("carry a run of Deployment %s: %w", t.key(), err)
		}
	}
	return w, nil
}

// Apply implements workload.Workload.
func (w *Workload) Apply(ctx context.Context, want workload.Want) error {
	w.mu.Lock()
	w.want = want
	w.mu.Unlock()
	d, err := w.deployment(ctx)
	if err != nil && !errors.Is(err, ErrMissing) {
		return err
	}
	return errors.Join(w.move(ctx, d, err, want), w.compare(ctx, d, want.Baseline))
}

// move is Apply without the baseline. absent is why there is no Deployment.
func (w *Workload) move(ctx context.Context, d *appsv1.Deployment, absent error, want workload.Want) error {
	canary, err := w.set(ctx, w.run.Canary.ReplicaSet)
	if err != nil {
		return err
	}
	switch {
	case want.Canary == 0:
		return errors.Join(w.keepHeld(ctx, d), w.remove(ctx, canary))
	case absent != nil:
		return absent
	case want.Promoted && want.Stable == 0:
		return w.adopt(ctx, d, canary)
	}
	if canary != nil && controlledBy(canary, d.UID) {
		return nil // the Deployment sizes it
	}
	if err := w.keepHeld(ctx, d); err != nil {
		return err
	}
	return w.size(ctx, d, canary, sizeFor(replicas(d), want.Canary, w.run.PodRatio))
}

// remove takes the run's own ReplicaSet away.
func (w *Workload) remove(ctx context.Context, canary *appsv1.ReplicaSet) error {
	if canary == nil || !ofSomeRun(canary) {
		return nil
	}
	_, err := w.shrink(ctx, canary)
	return err
}

// keepHeld holds the Deployment again when something has released it before its
// time. Who took the label away is not in the way.
func (w *Workload) keepHeld(ctx context.Context, d *appsv1.Deployment) error {
	if d == nil || d.Spec.Paused || d.Labels[serinv1.RolloutLabel] != w.env.Rollout {
		return nil
	}
	stable, err := w.set(ctx, w.run.Stable.ReplicaSet)
	if err != nil {
		return err
	}
	return w.mutate(ctx, "hold", func(d *appsv1.Deployment) ([]kube.Op, error) {
		if stable == nil || kube.SameTemplate(stable.Spec.Template, d.Spec.Template) {
			return nil, nil
		}
		w.env.logger().Warn("the Deployment was released before its time and is held again", "namespace", d.Namespace, "deployment", d.Name)
		return kube.Hold(d), nil
	})
}

// size makes the canary's ReplicaSet, or gives it a size.
func (w *Workload) size(ctx context.Context, d *appsv1.Deployment, canary *appsv1.ReplicaSet, size int32) error {
	asked, err := w.asked(d, canary)
	if err != nil {
		return err
	}
	if asked {
		if cleared, err := w.clear(ctx, d); err != nil || !cleared {
			return err
		}
	}
	if canary == nil {
		if !asked {
			return nil // superseded, as Observe says
		}
		return w.create(ctx, d, size)
	}
	if !controlledBy(canary, w.run.UID) {
		if !ofSomeRun(canary) {
			return fmt.Errorf("size ReplicaSet %s/%s: it belongs to somebody else; delete it or give it another name: %w", canary.Namespace, canary.Name, workload.ErrRefused)
		}
		// An earlier run of the same template left it.
		_, err := w.shrink(ctx, canary)
		return err
	}
	return w.mutateSet(ctx, "size", canary.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
		if !controlledBy(s, w.run.UID) {
			return nil, nil
		}
		return resize(s, d, size), nil
	})
}

// asked reports that the Deployment still asks for the run's template.
func (w *Workload) asked(d *appsv1.Deployment, canary *appsv1.ReplicaSet) (bool, error) {
	if canary != nil {
		return kube.SameTemplate(canary.Spec.Template, d.Spec.Template), nil
	}
	hash, err := kube.TemplateHash(d.Spec.Template)
	return hash == w.run.Canary.Hash, err
}

// create makes the canary's ReplicaSet.
func (w *Workload) create(ctx context.Context, d *appsv1.Deployment, size int32) error {
	s := canarySet(d, w.run, size)
	s.Name = w.run.Canary.ReplicaSet
	err := w.env.Client.Create(ctx, s)
	if apierrors.IsAlreadyExists(err) {
		err = nil // the cache does not know it yet
	}
	w.mu.Lock()
	w.refused = refusalOf(err)
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("create ReplicaSet %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// clear removes ReplicaSets of the Deployment's own with the canary's template:
// an old revision that is asked for again, or what the Deployment controller
// made while a hold was off. It would take the older of two equal templates for
// its own at the end, and not the one that was tested.
func (w *Workload) clear(ctx context.Context, d *appsv1.Deployment) (done bool, err error) {
	sets, err := w.sets(ctx, d)
	if err != nil {
		return false, err
	}
	if s := w.released(d, sets); s != nil {
		return false, fmt.Errorf("make room for ReplicaSet %s/%s: the Deployment controller has rolled %s out, which serves more by now than %s: %w",
			w.env.Namespace, w.run.Canary.ReplicaSet, s.Name, w.run.Stable.ReplicaSet, workload.ErrRefused)
	}
	done = true
	for _, s := range w.equals(d, sets) {
		w.env.logger().Info("a ReplicaSet of the Deployment's own has the canary's template and makes room for it",
			"namespace", s.Namespace, "replicaSet", s.Name, "pods", setReplicas(s))
		gone, err := w.shrink(ctx, s)
		if err != nil {
			return false, err
		}
		done = done && gone
	}
	return done, nil
}

// equals lists the ReplicaSets of the Deployment's own, other than stable, with
// the template that it asks for.
func (w *Workload) equals(d *appsv1.Deployment, sets []appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.DeleteFunc(ownedBy(d, sets), func(s *appsv1.ReplicaSet) bool {
		return s.Name == w.run.Stable.ReplicaSet || s.Name == w.run.Canary.ReplicaSet || !kube.SameTemplate(s.Spec.Template, d.Spec.Template)
	})
}

// released returns the ReplicaSet by which the Deployment controller has
// replaced most of the old version, when a hold was off for long. Taking it away
// would take away what serves.
func (w *Workload) released(d *appsv1.Deployment, sets []appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var old int32
	for i := range sets {
		if s := &sets[i]; s.Name == w.run.Stable.ReplicaSet && setReplicas(s) > 0 {
			old = s.Status.AvailableReplicas
		}
	}
	for _, s := range w.equals(d, sets) {
		if setReplicas(s) > 0 && s.Status.AvailableReplicas > old {
			return s
		}
	}
	return nil
}

// Close implements workload.Workload.
func (w *Workload) Close() error {
	if w.env.Events != nil {
		w.env.Events.remove(w)
	}
	return nil
}

// enough is a size at which the canary was complete.
type enough struct {
	percent int
	pods    int32
	since   time.Time // when it last was
}

// growTime is how long what was enough for a weight stays enough while the
// Deployment is being scaled up and the canary's further pods start.
const growTime = 2 * time.Minute

// capacity is the percentage of the traffic that the canary, or the baseline, can
// take. The traffic does not grow because somebody asks for more pods, so a group
// that was large enough for its weight stays so until the further pods had time.
func (w *Workload) capacity(was *enough, n, ready int32, percent int, ratio bool) int {
	of := capacityOf
	if ratio {
		of = ratioCapacityOf
	}
	now := of(n, ready)
	w.mu.Lock()
	defer w.mu.Unlock()
	if need := sizeFor(n, percent, ratio); percent > 0 && ready >= need && need > 0 {
		*was = enough{percent: percent, pods: need, since: w.env.now()}
		return max(now, percent)
	}
	if e := *was; e.percent > now && ready >= e.pods && w.env.now().Sub(e.since) < growTime {
		return e.percent
	}
	return now
}

func available(s *appsv1.ReplicaSet) int32 {
	if s.Status.ObservedGeneration < s.Generation {
		return 0 // not seen by its controller yet
	}
	return s.Status.AvailableReplicas
}
