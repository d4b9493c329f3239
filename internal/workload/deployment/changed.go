package deployment

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Events tells runs of changes of their Deployments, ReplicaSets and pods. It
// listens to the cache once, however many runs there are, so that an event costs
// the runs of its namespace a look at its name and the others nothing.
type Events struct {
	informers cache.Informers

	mu        sync.RWMutex
	listening map[string]bool // kinds
	runs      map[string]map[*Workload]bool
}

// NewEvents listens to nothing before the first run.
func NewEvents(informers cache.Informers) *Events {
	return &Events{informers: informers, listening: map[string]bool{}, runs: map[string]map[*Workload]bool{}}
}

// listenTime bounds the wait for the cache to know of a kind.
const listenTime = 10 * time.Second

// add has a run told from now on.
func (e *Events) add(w *Workload) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), listenTime)
	defer cancel()
	for name, kind := range map[string]client.Object{
		"Deployments": &appsv1.Deployment{}, "ReplicaSets": &appsv1.ReplicaSet{}, "pods": &corev1.Pod{},
	} {
		if e.listening[name] {
			continue
		}
		informer, err := e.informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err == nil {
			_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
				AddFunc: e.tell, UpdateFunc: func(_, now any) { e.tell(now) }, DeleteFunc: e.tell,
			})
		}
		if err != nil {
			return fmt.Errorf("listen for changes of %s: %w", name, err)
		}
		e.listening[name] = true
	}
	in := e.runs[w.env.Namespace]
	if in == nil {
		in = map[*Workload]bool{}
		e.runs[w.env.Namespace] = in
	}
	in[w] = true
	return nil
}

func (e *Events) remove(w *Workload) {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := e.runs[w.env.Namespace]
	if delete(in, w); len(in) == 0 {
		delete(e.runs, w.env.Namespace)
	}
}

// tell passes an object's change on.
func (e *Events) tell(o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for w := range e.runs[object.GetNamespace()] {
		if w.concerns(object) {
			w.tell()
		}
	}
}

// tell says that something has changed. Several changes that nobody has received
// yet are one.
func (w *Workload) tell() {
	select {
	case w.changed <- struct{}{}:
	default: // one is waiting already
	}
}

// Changed implements workload.Notifier.
func (w *Workload) Changed() <-chan struct{} { return w.changed }

// concerns reports whether an object of the run's namespace is the run's.
func (w *Workload) concerns(o client.Object) bool {
	switch o.(type) {
	case *appsv1.Deployment:
		return o.GetName() == w.name
	case *appsv1.ReplicaSet:
		return o.GetName() == w.run.Stable.ReplicaSet || o.GetName() == w.run.Canary.ReplicaSet || w.run.Baseline && o.GetName() == w.fresh.revision.ReplicaSet
	}
	hash := o.GetLabels()[serinv1.HashLabel]
	return hash == w.run.Stable.Hash || hash == w.run.Canary.Hash || w.run.Baseline && hash == w.fresh.revision.Hash
}
