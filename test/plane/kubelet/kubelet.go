// Package kubelet is a node for tests: it runs the containers of pods as plain
// processes, each pod with an address of its own, and reports about them as the
// real kubelet does. It does the scheduler's work too. It must not know Serin.
//
// What it leaves out: images (a table names the program), isolation, volumes,
// init containers, exec and port-forward. A process must listen on the pod's
// address, $(POD_IP), because all pods share one network.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// FakeAnnotation on a pod, with any value, has it reported as ready at once
// with no process.
const FakeAnnotation = "kubelet.test/fake"

// Options says how the node behaves.
type Options struct {
	// Name of the node; empty means "node-1".
	Name string
	// Address of the node, which the API server must reach; empty means
	// 127.0.0.1.
	Address string
	// Pods is the network that pods get their addresses from; the zero value
	// means 10.88.0.0/16. The first 256 addresses are left to others.
	Pods netip.Prefix
	// Programs names the program that an image holds, as the start of an argv.
	// A key is an image with its tag, or without to stand for all tags.
	Programs map[string][]string
	// FakeReady reports every pod as ready at once with no process, so that
	// there can be thousands.
	FakeReady bool
	// Backoff is the wait before a crashed container is started a second time
	// again; it doubles up to BackoffMax. Zero means as the real kubelet: 10
	// seconds and 5 minutes. Pulling an image that is not there waits as long.
	Backoff, BackoffMax time.Duration
	// Dir holds the logs and tokens of pods.
	Dir string
	// Logger is told what the node does; nil means nobody.
	Logger *slog.Logger
}

// Kubelet is a running node.
type Kubelet struct {
	options   Options
	config    *rest.Config
	client    kubernetes.Interface
	addresses *addresses
	ctx       context.Context
	cancel    context.CancelFunc
	working   sync.WaitGroup
	server    server

	mu   sync.Mutex
	pods map[types.UID]*pod
	fake *fakes
}

// Start registers the node and runs pods until Close.
func Start(ctx context.Context, config *rest.Config, o Options) (*Kubelet, error) {
	o = o.withDefaults()
	config = rest.CopyConfig(config)
	config.QPS = -1 // as many pods as the tests make
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("start the node %s: %w", o.Name, err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start the node %s: %w", o.Name, err)
	}
	k := &Kubelet{options: o, config: config, client: client, addresses: newAddresses(o.Pods), pods: map[types.UID]*pod{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if err := k.server.start(o.Address, k); err != nil {
		return nil, fmt.Errorf("start the node %s: %w", o.Name, err)
	}
	if err := k.register(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.fake = startFakes(k)
	if err := k.watch(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "node-1"
	}
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	if !o.Pods.IsValid() {
		o.Pods = netip.MustParsePrefix("10.88.0.0/16")
	}
	if o.Backoff == 0 {
		o.Backoff = 10 * time.Second
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// watch follows all pods: those of this node to run them, those of none to give
// them to this node.
func (k *Kubelet) watch(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(k.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	seen := func(obj any) {
		if p, ok := obj.(*corev1.Pod); ok {
			k.see(p)
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, obj any) { seen(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if p, ok := obj.(*corev1.Pod); ok {
				k.gone(p)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	factory.Start(k.ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return fmt.Errorf("watch pods: the API server did not list them: %w", ctx.Err())
	}
	return nil
}

// see takes in how a pod is now.
func (k *Kubelet) see(p *corev1.Pod) {
	_, marked := p.Annotations[FakeAnnotation]
	switch {
	case p.Spec.NodeName == "" && p.DeletionTimestamp == nil && len(p.Spec.SchedulingGates) == 0:
		k.fake.later(p, k.schedule)
	case p.Spec.NodeName != k.options.Name:
	case k.options.FakeReady || marked:
		k.fake.later(p, k.pretend)
	default:
		k.run(p)
	}
}

// run starts a pod's worker or tells it of a change.
func (k *Kubelet) run(p *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return
	}
	worker, ok := k.pods[p.UID]
	if !ok {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			return
		}
		address, err := k.addresses.take(p.UID)
		if err != nil {
			k.options.Logger.Error("a pod gets no address", "pod", p.Namespace+"/"+p.Name, "error", err)
			return
		}
		worker = newPod(k, p, address)
		k.pods[p.UID] = worker
		k.working.Add(1)
		go func() {
			defer k.working.Done()
			worker.work()
		}()
	}
	worker.tell(p)
}

// gone ends what is left of a pod that the API server no longer has.
func (k *Kubelet) gone(p *corev1.Pod) {
	k.mu.Lock()
	worker := k.pods[p.UID]
	delete(k.pods, p.UID)
	k.mu.Unlock()
	if worker != nil {
		worker.kill()
		return
	}
	k.addresses.free(p.UID)
}

// find returns the worker of a pod that runs here.
func (k *Kubelet) find(namespace, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.namespace == namespace && p.name == name {
			return p
		}
	}
	return nil
}

// all returns the workers of all pods that run here.
func (k *Kubelet) all() []*pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []*pod
	for _, p := range k.pods {
		list = append(list, p)
	}
	return list
}

// Close kills every pod's processes. The pods stay in the API server, as when a
// machine loses its power.
func (k *Kubelet) Close() error {
	k.cancel()
	k.working.Wait()
	if k.fake != nil {
		k.fake.wait()
	}
	return k.server.close()
}
