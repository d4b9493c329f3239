//go:build plane

package deployment_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/policy"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/deployment"
	"serin.dev/serin/internal/workload/workloadtest"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/kubelet"
)

// cluster is a real control plane with a node that runs pods as processes; the
// tests share it. serin is how Serin reaches it, with the rights of
// deployment.Rules and no others.
var (
	cluster *plane.Plane
	serin   *rest.Config
)

// limit bounds every wait, on a machine that is busy with other things.
const limit = 90 * time.Second

const (
	serinNamespace = "serin"
	serinAccount   = "system:serviceaccount:serin:serin"
)

func TestMain(m *testing.M) {
	workloadtest.MaybeSample()
	_ = flag.Set("test.parallel", "6") // what they do is mostly wait
	log.SetLogger(logr.Discard())      // what reflectors say when a test ends
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	options := plane.Options{
		Manifests: []string{filepath.Join("..", "..", "..", "deploy", "crds")},
		Kubelet: &kubelet.Options{
			Backoff: time.Second, BackoffMax: 2 * time.Second,
			Programs: map[string][]string{"sample": {self, workloadtest.SampleArg}},
		},
	}
	os.Exit(plane.Run(m, options, &cluster))
}

// admin is a client with every right.
func admin(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(cluster.Admin, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// install gives Serin its account, its rights and the policy, once.
var install = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := cluster.Client
	_, errNS := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: serinNamespace}}, metav1.CreateOptions{})
	_, errSA := c.CoreV1().ServiceAccounts(serinNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "serin"}}, metav1.CreateOptions{})
	_, errRole := c.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "serin"}, Rules: deployment.Rules()}, metav1.CreateOptions{})
	_, errBind := c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "serin"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "serin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: serinNamespace, Name: "serin"}},
	}, metav1.CreateOptions{})
	p, b := policy.Hold(serinAccount)
	_, errPolicy := c.AdmissionregistrationV1().MutatingAdmissionPolicies().Create(ctx, p, metav1.CreateOptions{})
	_, errBinding := c.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create(ctx, b, metav1.CreateOptions{})
	if err := errors.Join(errNS, errSA, errRole, errBind, errPolicy, errBinding); err != nil {
		return err
	}
	var err error
	if serin, err = cluster.ServiceAccount(ctx, serinNamespace, "serin"); err != nil {
		return err
	}
	return awaitPolicy(ctx)
})

// awaitPolicy waits until the API server acts by the policy.
func awaitPolicy(ctx context.Context) error {
	d := sampleDeployment("probe", 0)
	d.Namespace, d.Labels = serinNamespace, map[string]string{serinv1.RolloutLabel: "probe"}
	c, err := client.New(cluster.Admin, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		return err
	}
	if err := c.Create(ctx, d); err != nil {
		return err
	}
	return within("the policy is in force", func() error {
		patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"at":%q}}}}}`, time.Now())
		if err := c.Patch(ctx, d, client.RawPatch("application/strategic-merge-patch+json", []byte(patch))); err != nil {
			return err
		}
		if !d.Spec.Paused {
			return errors.New("a changed template is not held")
		}
		return c.Delete(ctx, d)
	})
}

// eventually asks again until there is no error.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	if err := within(what, ask); err != nil {
		t.Fatal(err)
	}
}

func within(what string, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// sampleDeployment is a Deployment of sample:v1 whose pods have no process.
func sampleDeployment(name string, n int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{kubelet.FakeAnnotation: "true"}},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64(2)),
					Containers: []corev1.Container{{
						Name: "main", Image: "sample:v1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					}},
				},
			},
		},
	}
}

// real gives a Deployment's pods processes.
func real(d *appsv1.Deployment) {
	delete(d.Spec.Template.Annotations, kubelet.FakeAnnotation)
	c := &d.Spec.Template.Spec.Containers[0]
	c.Args = []string{"-listen=$(POD_IP):8080"}
	c.ReadinessProbe = &corev1.Probe{
		PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}},
	}
}

// world is one Deployment in a namespace of its own, as Serin sees it.
type world struct {
	*testing.T
	ns     string
	admin  client.Client
	env    deployment.Env
	target *deployment.Target
	run    deployment.Run
	w      *deployment.Workload
}

var config = deployment.Config{Name: "shop"}

// newWorld makes the Deployment shop, waits until it serves and attaches it. The
// test runs beside others from here on.
func newWorld(t *testing.T, n int32, change ...func(*appsv1.Deployment)) *world {
	t.Helper()
	t.Parallel()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, admin: admin(t)}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := w.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	w.ns = ns.Name
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := w.admin.Delete(ctx, ns); err != nil {
			t.Error(err)
		}
	})
	d := sampleDeployment(config.Name, n)
	d.Namespace = w.ns
	for _, c := range change {
		c(d)
	}
	if err := w.admin.Create(t.Context(), d, client.FieldOwner("kubectl-create")); err != nil {
		t.Fatal(err)
	}
	w.env = w.reach()
	var err error
	if w.target, err = deployment.NewTarget(config, w.env); err != nil {
		t.Fatal(err)
	}
	w.serves()
	if err := w.target.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// reach is how Serin reaches the namespace: reads from a cache of its own.
func (w *world) reach() deployment.Env {
	w.Helper()
	informers, err := cache.New(serin, cache.Options{Scheme: kube.Scheme(), DefaultNamespaces: map[string]cache.Config{w.ns: {}}})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- informers.Start(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	cached, errCached := client.New(serin, client.Options{Scheme: kube.Scheme(), Cache: &client.CacheOptions{Reader: informers}})
	live, errLive := client.New(serin, client.Options{Scheme: kube.Scheme()})
	set, errSet := kubernetes.NewForConfig(serin)
	if err := errors.Join(errCached, errLive, errSet); err != nil {
		w.Fatal(err)
	}
	return deployment.Env{
		Env:    kube.Env{Client: cached, Live: live, Namespace: w.ns, Rollout: config.Name},
		Events: deployment.NewEvents(informers), Pods: set.CoreV1(),
	}
}

// serves waits until the Deployment is complete, as its own controller says.
func (w *world) serves() {
	w.Helper()
	eventually(w.T, "the Deployment is complete", func() error {
		d := w.deployment()
		n := *d.Spec.Replicas
		if s := d.Status; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != n || s.Replicas != n || s.AvailableReplicas != n {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

func (w *world) deployment() *appsv1.Deployment {
	w.Helper()
	d := &appsv1.Deployment{}
	if err := w.admin.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: config.Name}, d); err != nil {
		w.Fatal(err)
	}
	return d
}

func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := cluster.Kubectl(w.Context(), append([]string{"-n", w.ns}, args...)...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// image asks for another version.
func (w *world) image(image string) {
	w.Helper()
	w.kubectl("set", "image", "deployment/shop", "main="+image)
}

// inspect waits until Serin sees the Deployment as described.
func (w *world) inspect(what string, ok func(deployment.Situation) bool) deployment.Situation {
	w.Helper()
	var s deployment.Situation
	eventually(w.T, what, func() error {
		var err error
		if s, err = w.target.Inspect(w.Context()); err != nil {
			return err
		}
		if !ok(s) {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	return s
}

// begin begins a run of what the Deployment asks for, which must be held.
func (w *world) begin(change ...func(*deployment.Run)) {
	w.Helper()
	s := w.inspect("a run can begin", func(s deployment.Situation) bool { return s.Changed() && s.Held && s.Why == "" })
	run := &serinv1.CanaryRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, GenerateName: "shop-"},
		Spec: serinv1.CanaryRunSpec{
			Rollout: "shop", Number: 1, Stable: s.Stable, Canary: s.Canary,
			StartedAt: metav1.NowMicro(), Pinned: runtime.RawExtension{Raw: []byte("{}")},
		},
	}
	if err := w.admin.Create(w.Context(), run); err != nil {
		w.Fatal(err)
	}
	w.run = deployment.Run{Name: run.Name, UID: run.UID, Stable: s.Stable, Canary: s.Canary}
	for _, c := range change {
		c(&w.run)
	}
	w.env.Run = w.run
	w.open()
}

// open makes the run's workload, as a starting Serin does.
func (w *world) open() *deployment.Workload {
	w.Helper()
	var err error
	if w.w, err = deployment.New(config, w.env); err != nil {
		w.Fatal(err)
	}
	opened := w.w
	w.Cleanup(func() {
		if err := opened.Close(); err != nil {
			w.Error(err)
		}
	})
	return w.w
}

// until applies want every tick until the status is as described.
func (w *world) until(want workload.Want, what string, ok func(workload.Status) bool) workload.Status {
	w.Helper()
	var st workload.Status
	eventually(w.T, what, func() error {
		err := w.w.Apply(w.Context(), want)
		var errObserve error
		if st, errObserve = w.w.Observe(w.Context()); errObserve == nil && ok(st) {
			return nil
		}
		return errors.Join(err, errObserve, fmt.Errorf("it is %+v", st))
	})
	return st
}

func at(stable, canary int) workload.Want { return workload.Want{Stable: stable, Canary: canary} }

var promoted = workload.Want{Canary: 100, Promoted: true}

// is describes both arms at these capacities, with this many ready canary pods.
func is(stable, canary, pods int) func(workload.Status) bool {
	return func(st workload.Status) bool {
		return st.Stable.Capacity == stable && st.Canary.Capacity >= canary && st.Canary.Ready() == pods && len(st.Canary.Instances) == pods
	}
}

func names(g workload.Group) []string {
	var out []string
	for _, i := range g.Instances {
		out = append(out, i.Name)
	}
	return out
}

// sets lists the ReplicaSets by name.
func (w *world) sets() map[string]appsv1.ReplicaSet {
	w.Helper()
	var list appsv1.ReplicaSetList
	if err := w.admin.List(w.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	out := map[string]appsv1.ReplicaSet{}
	for _, s := range list.Items {
		out[s.Name] = s
	}
	return out
}

// oldStays fails when the old version is not exactly as it was: full, and the
// same pods.
func (w *world) oldStays(before workload.Status) {
	w.Helper()
	st, err := w.w.Observe(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if !slices.Equal(names(st.Stable), names(before.Stable)) || st.Stable.Capacity != 100 {
		w.Errorf("stable is %+v, want the pods %v", st.Stable, names(before.Stable))
	}
}

// manifest writes the Deployment as a user keeps it.
func (w *world) manifest(d *appsv1.Deployment) string {
	w.Helper()
	d.Namespace = w.ns
	d.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}
	data, err := json.Marshal(d)
	if err != nil {
		w.Fatal(err)
	}
	file := filepath.Join(w.TempDir(), "shop.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		w.Fatal(err)
	}
	return file
}

func contains(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
