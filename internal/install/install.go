// Package install is what Serin is in a cluster: the objects of the controller,
// how they are applied, and how they are taken away again. The command
// `serin install`, the plain manifests and the Helm chart are made from the same
// objects here.
//
// It must not know adapters, the engine or how a run is carried: the permissions
// that adapters need and the way their traffic goes back are handed in.
package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// Namespace is where the controller runs when nobody says otherwise.
	Namespace = "serin-system"
	// Controller names the Deployment, its ServiceAccount and its roles.
	Controller = "serin-controller"
	// FieldManager is the name under which an installation is applied.
	FieldManager = "serin-install"
	// Repository is where the images are.
	Repository = "serin.dev/serin"
	// Unreleased stands for the version in generated files between releases.
	Unreleased = "v0.0.0"

	versionLabel = "app.kubernetes.io/version"
	nameLabel    = "app.kubernetes.io/name"
	partOfLabel  = "app.kubernetes.io/part-of"
	managedLabel = "app.kubernetes.io/managed-by"
	partOf       = "serin"
)

// The ports of the controller, and the folder of its archive.
const (
	metricsPort = 8080
	healthPort  = 8081
	archiveDir  = "/var/lib/serin/archive"
)

// What rollouts may refer to as a credential is in a Secret in the controller's
// namespace, which need not be there. It is mounted; the controller may read no
// Secret through the API server.
const (
	credentialsSecret = "serin-credentials"      //nolint:gosec // a name, no credential
	credentialsDir    = "/etc/serin/credentials" //nolint:gosec // a folder, no credential
)

// Part is who has to apply an object.
type Part string

const (
	// Cluster is what only an administrator of the cluster may write.
	Cluster Part = "cluster"
	// Namespaced is the rest, in namespaces that exist.
	Namespaced Part = "namespace"
	// All is both.
	All Part = "all"
)

// Options say how Serin is installed.
type Options struct {
	// Namespace is the controller's own; empty: serin-system.
	Namespace string
	// Version is the program's; Image is Repository at that version when empty.
	Version, Image string
	Replicas       int32
	// Namespaces are those whose rollouts are carried, with Roles there and no
	// ClusterRole; empty: all, with a ClusterRole.
	Namespaces []string
	Part       Part
	// PrometheusURL is the default for rollouts that name none.
	PrometheusURL string
	// ArchiveClaim is a PersistentVolumeClaim for records and reports; empty:
	// they are lost with the pod.
	ArchiveClaim string
	// Confine adds a NetworkPolicy: the controller may reach name servers, and these
	// ports of any address; nil: none. Which addresses the API server has behind its
	// Service, no policy can name in general.
	Confine []int
	// PriorityClass of the controller's pods; empty: the cluster's default.
	PriorityClass string
	Resources     Resources

	// Rules are the permissions that the controller and its adapters need in
	// the namespaces of rollouts.
	Rules []rbacv1.PolicyRule
	// Policy is the version of the admission policy's kind that the API server
	// has; empty: it has none, and every Deployment is held all the time.
	Policy string
}

// Resources of the controller's container, as Kubernetes writes quantities.
type Resources struct {
	CPURequest, MemoryRequest, MemoryLimit string
}

// WithDefaults fills in what was left out.
func (o Options) WithDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.Namespace, Namespace)
	def(&o.Version, Unreleased)
	def(&o.Image, Repository+":"+o.Version)
	def((*string)(&o.Part), string(All))
	// Measured with 500 idle and 200 running rollouts; there is no CPU limit, as
	// a throttled controller rolls back late.
	def(&o.Resources.CPURequest, "100m")
	def(&o.Resources.MemoryRequest, "128Mi")
	def(&o.Resources.MemoryLimit, "512Mi")
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	return o
}

// Validate says what is wrong with the options, each mistake with its flag.
func (o Options) Validate() error {
	var errs []error
	wrong := func(flag, format string, args ...any) {
		errs = append(errs, fmt.Errorf("--%s: "+format, append([]any{flag}, args...)...))
	}
	for _, n := range append([]string{o.Namespace}, o.Namespaces...) {
		flag := "namespaces"
		if n == o.Namespace {
			flag = "namespace"
		}
		if bad := validation.IsDNS1123Label(n); len(bad) > 0 {
			wrong(flag, "%q is no name of a namespace: %s", n, strings.Join(bad, "; "))
		}
	}
	if !slices.Contains([]Part{All, Cluster, Namespaced}, o.Part) {
		wrong("part", "%q is not known; write cluster, namespace or all", o.Part)
	}
	if o.Part == Namespaced && len(o.Namespaces) == 0 {
		wrong("part", "namespace needs --namespaces: without it the controller's permissions are a ClusterRole, which only an administrator may write")
	}
	if o.Replicas < 0 || o.Replicas > 10 {
		wrong("replicas", "%d is not between 1 and 10; one replica works, the others stand by", o.Replicas)
	}
	if o.Image == "" || strings.ContainsAny(o.Image, " \t\n") {
		wrong("image", "%q is no image", o.Image)
	}
	for _, port := range o.Confine {
		if len(validation.IsValidPortNum(port)) > 0 {
			wrong("network-policy-ports", "%d is no port; write numbers from 1 to 65535", port)
		}
	}
	if port := portOf(o.PrometheusURL); len(o.Confine) > 0 && port != 0 && !slices.Contains(o.Confine, port) {
		wrong("network-policy-ports", "%d is missing, the port of --prometheus-url; add it, or the port of the pods behind that Service", port)
	}
	for _, q := range []string{o.Resources.CPURequest, o.Resources.MemoryRequest, o.Resources.MemoryLimit} {
		if _, err := resource.ParseQuantity(q); err != nil {
			errs = append(errs, fmt.Errorf("resources: %q is no quantity such as 100m or 128Mi", q))
		}
	}
	return errors.Join(errs...)
}
