package deployment

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// changes tells that something was seen to change. Several changes that nobody
// has received yet are one.
type changes struct {
	signal chan struct{}
	stop   []func() error
}

func newChanges() *changes { return &changes{signal: make(chan struct{}, 1)} }

func (c *changes) tell() {
	select {
	case c.signal <- struct{}{}:
	default: // one is waiting already
	}
}

func (c *changes) close() error {
	var errs []error
	for _, stop := range c.stop {
		errs = append(errs, stop())
	}
	c.stop = nil
	return errors.Join(errs...)
}

// Changed implements workload.Notifier.
func (w *Workload) Changed() <-chan struct{} { return w.changes.signal }

// listenTime bounds the wait for the cache to know of a kind.
const listenTime = 10 * time.Second

// listen has the cache tell of the Deployment, its two ReplicaSets and their
// pods.
func (w *Workload) listen() error {
	if w.env.Informers == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), listenTime)
	defer cancel()
	tell := func(o any) {
		if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if object, ok := o.(client.Object); ok && w.concerns(object) {
			w.changes.tell()
		}
	}
	handler := toolscache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(_, now any) { tell(now) }, DeleteFunc: tell}
	for _, kind := range []client.Object{&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}} {
		informer, err := w.env.Informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return errors.Join(fmt.Errorf("listen for changes of Deployment %s: %w", w.key(), err), w.changes.close())
		}
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return errors.Join(fmt.Errorf("listen for changes of Deployment %s: %w", w.key(), err), w.changes.close())
		}
		w.changes.stop = append(w.changes.stop, func() error { return informer.RemoveEventHandler(registration) })
	}
	return nil
}

// concerns reports whether an object is one of this run's.
func (w *Workload) concerns(o client.Object) bool {
	if o.GetNamespace() != w.env.Namespace {
		return false
	}
	switch o.(type) {
	case *appsv1.Deployment:
		return o.GetName() == w.name
	case *appsv1.ReplicaSet:
		return o.GetName() == w.run.Stable.ReplicaSet || o.GetName() == w.run.Canary.ReplicaSet
	}
	hash := o.GetLabels()[serinv1.HashLabel]
	return hash == w.run.Stable.Hash || hash == w.run.Canary.Hash
}
