package kubelet

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod runs one pod: its containers, each in a goroutine of its own, and one
// goroutine that reports. When the API server is away the containers go on and
// the report waits.
type pod struct {
	kubelet         *Kubelet
	namespace, name string
	uid             types.UID
	address, dir    string
	started         metav1.Time
	containers      []*container

	// changed has a value when there may be something new to report.
	changed chan struct{}
	// doomed is closed when the pod is to end, with grace; killed when at once.
	doomed, killed       chan struct{}
	doomOnce, killedOnce sync.Once

	mu     sync.Mutex
	latest *corev1.Pod
}

func newPod(k *Kubelet, p *corev1.Pod, address string) *pod {
	w := &pod{
		kubelet: k, namespace: p.Namespace, name: p.Name, uid: p.UID, address: address, latest: p, started: metav1.Now(),
		dir:     filepath.Join(k.options.Dir, p.Namespace+"_"+p.Name+"_"+string(p.UID)),
		changed: make(chan struct{}, 1), doomed: make(chan struct{}), killed: make(chan struct{}),
	}
	for _, spec := range p.Spec.Containers {
		w.containers = append(w.containers, newContainer(w, spec))
	}
	return w
}

// tell takes in how the pod is now.
func (w *pod) tell(p *corev1.Pod) {
	w.mu.Lock()
	w.latest = p
	w.mu.Unlock()
	if p.DeletionTimestamp != nil {
		w.doomOnce.Do(func() { close(w.doomed) })
	}
	w.change()
}

func (w *pod) kill() { w.killedOnce.Do(func() { close(w.killed) }) }

func (w *pod) change() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *pod) current() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest
}

// grace is how long the pod's processes have to end by themselves.
func (w *pod) grace() time.Duration {
	p := w.current()
	for _, seconds := range []*int64{p.DeletionGracePeriodSeconds, p.Spec.TerminationGracePeriodSeconds} {
		if seconds != nil {
			return time.Duration(*seconds) * time.Second
		}
	}
	return 30 * time.Second
}

// work runs the pod from its start until the API server has it no more.
func (w *pod) work() {
	ctx, cancel := context.WithCancel(w.kubelet.ctx)
	defer cancel()
	go func() {
		select {
		case <-w.killed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer os.RemoveAll(w.dir)
	defer w.kubelet.addresses.free(w.uid)

	var running sync.WaitGroup
	if len(w.current().Spec.InitContainers) > 0 {
		for _, c := range w.containers {
			c.wait("CreateContainerError", "the test kubelet knows no init containers")
		}
	} else {
		if w.current().Spec.ServiceAccountName != "" {
			go w.renewToken(ctx)
		}
		for _, c := range w.containers {
			running.Add(1)
			go func() {
				defer running.Done()
				c.run(ctx)
			}()
		}
	}
	over := make(chan struct{})
	go func() {
		running.Wait()
		close(over)
	}()
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		w.reports(ctx)
	}()

	select {
	case <-w.doomed:
	case <-ctx.Done():
		<-over
		<-reported
		return
	}
	<-over // the containers saw doomed too
	w.removed(ctx)
	cancel()
	<-reported
}

// reports keeps the API server's status of the pod up to date.
func (w *pod) reports(ctx context.Context) {
	var last *corev1.PodStatus
	for {
		select {
		case <-w.changed:
		case <-ctx.Done():
			return
		}
		for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
			status := w.report().status(w.current())
			if last != nil && equality.Semantic.DeepEqual(*last, status) {
				break
			}
			err := whole(ctx, func(ctx context.Context) error { return w.kubelet.patchStatus(ctx, w.current(), status) })
			if err == nil {
				last = &status
				break
			}
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				return // another pod has the name by now
			}
			w.kubelet.options.Logger.Warn("report again", "pod", w.namespace+"/"+w.name, "error", err)
			sleep(ctx, wait)
		}
	}
}

// removed tells the API server, until it knows, that nothing of the pod runs
// any more.
func (w *pod) removed(ctx context.Context) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		if whole(ctx, func(ctx context.Context) error { return w.kubelet.remove(ctx, w.current()) }) == nil {
			return
		}
		sleep(ctx, wait)
	}
}

// whole has a request that has begun come to its end when the pod comes to its.
// A request that is cut off is an error in the log of who reads it.
func whole(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return request(ctx)
}

// remove deletes a pod of which nothing runs any more.
func (k *Kubelet) remove(ctx context.Context, p *corev1.Pod) error {
	k.mu.Lock()
	_, ran := k.pods[p.UID]
	k.mu.Unlock()
	now := int64(0)
	err := k.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = nil
	}
	if err == nil && !ran {
		k.addresses.free(p.UID)
	}
	return err
}

func (w *pod) report() report {
	r := report{podIP: w.address, hostIP: w.kubelet.options.Address, started: w.started}
	for _, c := range w.containers {
		r.containers = append(r.containers, c.status())
	}
	return r
}

// sleep waits, less when the context ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
