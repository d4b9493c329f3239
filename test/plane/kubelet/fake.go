package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
)

// fakes does the short work, of which there may be very much: giving pods to
// the node and reporting pods that have no process.
type fakes struct {
	kubelet *Kubelet
	queue   workqueue.TypedRateLimitingInterface[*task]
	working sync.WaitGroup
}

// task is one piece of short work, done again while it fails.
type task struct {
	pod *corev1.Pod
	do  func(context.Context, *corev1.Pod) error
}

// hands is how many pieces of short work are done at the same time.
const hands = 16

func startFakes(k *Kubelet) *fakes {
	f := &fakes{kubelet: k, queue: workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[*task](50*time.Millisecond, 2*time.Second))}
	for range hands {
		f.working.Add(1)
		go func() {
			defer f.working.Done()
			for f.one() {
			}
		}()
	}
	go func() {
		<-k.ctx.Done()
		f.queue.ShutDown()
	}()
	return f
}

func (f *fakes) later(p *corev1.Pod, do func(context.Context, *corev1.Pod) error) {
	f.queue.Add(&task{pod: p, do: do})
}

func (f *fakes) wait() { f.working.Wait() }

// one does one piece of work; false means that there will be no more.
func (f *fakes) one() bool {
	t, shutdown := f.queue.Get()
	if shutdown {
		return false
	}
	defer f.queue.Done(t)
	ctx, cancel := context.WithTimeout(f.kubelet.ctx, 10*time.Second)
	defer cancel()
	err := t.do(ctx, t.pod)
	// A pod that is gone or has changed is seen again as it is then.
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		f.queue.Forget(t)
		return true
	}
	f.kubelet.options.Logger.Warn("retry", "pod", t.pod.Namespace+"/"+t.pod.Name, "error", err)
	f.queue.AddRateLimited(t)
	return true
}

// pretend reports a pod as a node would whose containers all start and are
// ready at once.
func (k *Kubelet) pretend(ctx context.Context, p *corev1.Pod) error {
	if p.DeletionTimestamp != nil {
		return k.remove(ctx, p)
	}
	if p.Status.PodIP != "" {
		return nil
	}
	address, err := k.addresses.take(p.UID)
	if err != nil {
		return err
	}
	now := metav1.Now()
	r := report{podIP: address, hostIP: k.options.Address, started: now}
	for _, spec := range p.Spec.Containers {
		c := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, ImageID: imageID(spec.Image)}
		if missing(spec.Image) {
			c.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: noSuchImage(spec.Image)}
		} else {
			yes := true
			c.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
			c.Started, c.Ready, c.ContainerID = &yes, true, "fake://"+string(p.UID)
		}
		r.containers = append(r.containers, c)
	}
	return k.patchStatus(ctx, p, r.status(p))
}
