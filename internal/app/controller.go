package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"serin.dev/serin/internal/controller"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/store/crd"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// ControllerOptions are what the controller was asked for.
type ControllerOptions struct {
	// Target is the cluster, and Version what the API server is told of this
	// program.
	Target  kube.Target
	Version string
	// Namespaces are the ones that are looked at; empty: all.
	Namespaces []string
	// LeaderElection lets several controllers stand by; Namespace is where they
	// agree, and where events about the controller itself go.
	LeaderElection bool
	Namespace      string
	// Pod is the name of the pod that this runs in, if any. A program that is
	// started again in the same pod leads on at once; another waits until the
	// lease of the one before has run out.
	Pod string
	// MetricsAddress and HealthAddress are listened on; "0": not at all.
	MetricsAddress, HealthAddress string
	// Archive is the folder for what is kept of ended runs.
	Archive string
	// Prometheus is the address of the Prometheus that rollouts without
	// analysis.metrics are judged from, and Preset what its counters are of;
	// empty: by the kind of route.
	Prometheus, Preset string
	// HoldAlways keeps Deployments paused between runs, for an API server that
	// has no MutatingAdmissionPolicy.
	HoldAlways bool
	// Keep is how many ended runs a rollout keeps.
	Keep   int
	Logger *slog.Logger
}

const (
	// workers is how many rollouts are looked at at once; runs have loops of
	// their own and are not among them.
	workers = 8
	// shutdown bounds how long a controller that is asked to end finishes what
	// it does.
	shutdown = 20 * time.Second
)

// Controller carries rollouts on a cluster until ctx ends.
func Controller(ctx context.Context, o ControllerOptions) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	log := logr.FromSlogHandler(o.Logger.Handler())
	ctrllog.SetLogger(log)
	// What the libraries say by loggers of their own is as structured as the rest.
	klog.SetSlogLogger(o.Logger)
	slog.SetDefault(o.Logger)
	connection, err := kube.Connect(o.Target, "serin-controller/"+o.Version)
	if err != nil {
		return err
	}
	if o.Namespace == "" {
		o.Namespace = connection.Namespace
	}
	config := connection.Config
	// A watch is one long answer.
	config.Timeout = 0
	// The API server shares itself out fairly; a rollback never waits in a queue
	// of this program's own.
	config.QPS = -1
	lock, err := lease(o, config)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        kube.Scheme(),
		Logger:                        log,
		Cache:                         caches(o.Namespaces),
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,

		LeaderElectionResourceLockInterface: lock,

		Metrics:                 metricsserver.Options{BindAddress: o.MetricsAddress, TLSOpts: []func(*tls.Config){}},
		HealthProbeBindAddress:  o.HealthAddress,
		GracefulShutdownTimeout: new(shutdown),
	})
	if err != nil {
		return fmt.Errorf("reach the API server: %w: %w", err, ErrUnreachable)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reach the API server: %w", err)
	}
	program := newCluster(o, mgr, clientset)
	_, err = controller.Setup(mgr, controller.Options{
		Client: mgr.GetClient(), Program: program, Parse: ClusterParser(), Logger: o.Logger, Workers: workers,
		Events: mgr.GetEventRecorder("serin"),
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(program); err != nil {
		return err
	}
	if err := mgr.Add(tidier{mgr.GetCache()}); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("caches", func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return fmt.Errorf("the caches have not been filled yet")
		}
		return nil
	}); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the controller: %w", err)
	}
	return nil
}

// caches says what is watched where, and how little of it is kept. Rollouts are
// kept whole, as they are written whole.
func caches(namespaces []string) cache.Options {
	o := cache.Options{DefaultTransform: lean, ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:                {Transform: leanPod},
		&appsv1.ReplicaSet{}:         {Transform: unmanaged},
		&corev1.Service{}:            {Transform: lean},
		&appsv1.Deployment{}:         {Transform: lean},
		&discoveryv1.EndpointSlice{}: {Transform: unmanaged},
		&serinv1.CanaryRecord{}:      {Transform: unmanaged},
		&serinv1.CanaryRun{}:         {Transform: crd.Lean},
		&serinv1.CanaryRollout{}:     {Transform: func(obj any) (any, error) { return obj, nil }},
	}}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range namespaces {
			o.DefaultNamespaces[n] = cache.Config{}
		}
	}
	return o
}

// lean drops who wrote which field of a status, as nobody asks for that, and the
// copy of an object that kubectl keeps in it. It is for objects that are patched
// field by field; the annotations stay a map, for patches count on it.
func lean(obj any) (any, error) {
	o, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil
	}
	if managed := o.GetManagedFields(); slices.ContainsFunc(managed, ofStatus) {
		o.SetManagedFields(slices.DeleteFunc(managed, ofStatus))
	}
	if a := o.GetAnnotations(); a[corev1.LastAppliedConfigAnnotation] != "" {
		delete(a, corev1.LastAppliedConfigAnnotation)
		o.SetAnnotations(a)
	}
	return obj, nil
}

func ofStatus(m metav1.ManagedFieldsEntry) bool { return m.Subresource != "" }

// unmanaged drops who wrote which field, where nobody asks for it.
func unmanaged(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// leanPod keeps of a pod what tells how it is.
func leanPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	pod.ManagedFields, pod.Annotations = nil, nil
	spec := corev1.PodSpec{NodeName: pod.Spec.NodeName}
	for _, c := range pod.Spec.Containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
	}
	pod.Spec = spec
	return pod, nil
}

// leaseName is what the controllers of a namespace agree on.
const leaseName = "serin.dev"

// renewDeadline is how long a leader tries to stay one; the manager's default.
const renewDeadline = 10 * time.Second

// lease returns the lease under the name of this program's pod; nil for one
// under a name that no other program ever has. No two programs run in one pod at
// the same time.
func lease(o ControllerOptions, config *rest.Config) (resourcelock.Interface, error) {
	if !o.LeaderElection || o.Pod == "" {
		return nil, nil
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: o.Pod}, config, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("agree on a leader: %w", err)
	}
	return lock, nil
}
