// Package groups makes groups of pods that are told apart by their
// pod-template-hash, as a Deployment makes them for its versions, and says which
// groups a Service reaches. It must not know Serin.
package groups

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"serin.dev/serin/test/plane"
)

// Limit is how long anything may take on a machine that is busy.
const Limit = 2 * time.Minute

// App is the label of all pods and the name of the Deployment that they would
// be of.
const App = "shop"

// Groups are the pods of one namespace.
type Groups struct {
	Namespace string
	// Container is what every pod runs, beside its hash as an argument.
	Container corev1.Container

	client kubernetes.Interface
}

// New makes a namespace that goes with the test.
func New(t *testing.T, p *plane.Plane) *Groups {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	ns, err := p.Client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Limit)
		defer cancel()
		if err := p.Client.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return &Groups{Namespace: ns.Name, Container: corev1.Container{Name: "main", Image: "fake:1"}, client: p.Client}
}

// Scale makes a group of this many ready pods.
func (g *Groups) Scale(t *testing.T, hash string, pods int) {
	t.Helper()
	sets := g.client.AppsV1().ReplicaSets(g.Namespace)
	name := App + "-" + hash
	set, err := sets.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		labels := map[string]string{"app": App, appsv1.DefaultDeploymentUniqueLabelKey: hash}
		container := *g.Container.DeepCopy()
		container.Args = append(container.Args, hash)
		set, err = sets.Create(t.Context(), &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.ReplicaSetSpec{
				Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: new(int64(1)), Containers: []corev1.Container{container}},
				},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	if *set.Spec.Replicas != int32(pods) {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, pods)
		if _, err := sets.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, func() error {
		set, err := sets.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (set.Status.ReadyReplicas != int32(pods) || set.Status.Replicas != int32(pods)) {
			err = fmt.Errorf("%d of %d pods of %s are there, %d ready", set.Status.Replicas, pods, name, set.Status.ReadyReplicas)
		}
		return err
	})
}

// Seen returns an error unless a reader sees so many pods of a group that are not
// going.
func (g *Groups) Seen(ctx context.Context, by client.Reader, hash string, pods int) error {
	var list corev1.PodList
	if err := by.List(ctx, &list, client.InNamespace(g.Namespace), client.MatchingLabels{appsv1.DefaultDeploymentUniqueLabelKey: hash}); err != nil {
		return err
	}
	n := 0
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			n++
		}
	}
	if n != pods {
		return fmt.Errorf("%d pods of %s are seen, want %d", n, hash, pods)
	}
	return nil
}

// Service makes a Service that selects all groups.
func (g *Groups) Service(t *testing.T, name string) {
	t.Helper()
	_, err := g.client.CoreV1().Services(g.Namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": App},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// Reach counts the ready endpoints of a Service by their group.
func (g *Groups) Reach(ctx context.Context, service string) (map[string]int, error) {
	list, err := g.client.DiscoveryV1().EndpointSlices(g.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return nil, err
	}
	reach := map[string]int{}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if *e.Conditions.Ready {
				// shop-<hash>-<random>
				name := e.TargetRef.Name
				reach[name[len(App)+1:len(name)-6]]++
			}
		}
	}
	return reach, nil
}

// Arm is one destination of a route: its weight and whom it reaches.
type Arm struct {
	Weight int
	Reach  map[string]int
}

// Count says how many of n requests a group answers when the arms have these
// weights; an arm with weight and without endpoints fails its users.
func Count(n int, group string, arms ...Arm) (int, error) {
	sum, share := 0, 0.0
	for _, a := range arms {
		sum += a.Weight
	}
	for i, a := range arms {
		all := 0
		for _, k := range a.Reach {
			all += k
		}
		if a.Weight > 0 && all == 0 {
			return 0, fmt.Errorf("arm %d of %+v has no endpoints for its requests", i, arms)
		}
		share += float64(a.Weight) / float64(sum) * float64(a.Reach[group]) / float64(max(all, 1))
	}
	if sum == 0 {
		return 0, fmt.Errorf("no arm of %+v has a weight", arms)
	}
	return int(math.Round(share * float64(n))), nil
}

// Eventually asks again until there is no error.
func Eventually(t *testing.T, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(Limit)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", Limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Cached returns a client whose reads come from a cache, as a controller's do,
// and a reader without one.
func Cached(t *testing.T, config *rest.Config, scheme *runtime.Scheme) (client.Client, client.Reader) {
	t.Helper()
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Client.Cache = &client.CacheOptions{Unstructured: true}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !c.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the cache did not start")
	}
	return c.GetClient(), c.GetAPIReader()
}
