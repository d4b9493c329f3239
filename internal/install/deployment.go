package install

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// user is whom the image runs as; the number stands here too, so that the
// kubelet can see that it is not root.
const user = 65532

func (o Options) namespaceObject() client.Object {
	meta := o.meta("", o.Namespace)
	// The strictest of the pod security standards; the controller keeps to it.
	meta.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	return &corev1.Namespace{ObjectMeta: meta}
}

func (o Options) serviceAccount() client.Object {
	return &corev1.ServiceAccount{ObjectMeta: o.meta(o.Namespace, Controller)}
}

// selector is fixed for ever: a Deployment's cannot change.
func selector() map[string]string {
	return map[string]string{nameLabel: Controller, partOfLabel: partOf}
}

func (o Options) deployment() client.Object {
	volumes := []corev1.Volume{
		{Name: "archive", VolumeSource: o.archive()},
		{Name: "credentials", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: credentialsSecret, Optional: ptr(true)}}},
		{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr(resource.MustParse("64Mi"))}}},
	}
	strategy := appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType}
	if o.ArchiveClaim != "" {
		// Most volumes can be mounted on one node at a time.
		strategy.Type = appsv1.RecreateDeploymentStrategyType
	}
	return &appsv1.Deployment{
		ObjectMeta: o.meta(o.Namespace, Controller),
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr(o.Replicas),
			Strategy: strategy,
			Selector: &metav1.LabelSelector{MatchLabels: selector()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: o.labels(), Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "controller"}},
				Spec: corev1.PodSpec{
					ServiceAccountName:            Controller,
					PriorityClassName:             o.PriorityClass,
					TerminationGracePeriodSeconds: ptr(int64(30)),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(user)), RunAsGroup: ptr(int64(user)), FSGroup: ptr(int64(user)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{o.container()},
					Volumes:    volumes,
					// Replicas stand by on other nodes where there are any.
					TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
						MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
						LabelSelector: &metav1.LabelSelector{MatchLabels: selector()},
					}},
				},
			},
		},
	}
}

func (o Options) archive() corev1.VolumeSource {
	if o.ArchiveClaim != "" {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: o.ArchiveClaim}}
	}
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr(resource.MustParse("1Gi"))}}
}

func (o Options) args() []string {
	args := []string{
		"controller", "--leader-elect",
		fmt.Sprintf("--metrics-bind-address=[$(POD_IP)]:%d", metricsPort),
		fmt.Sprintf("--health-probe-bind-address=[$(POD_IP)]:%d", healthPort),
		"--archive=" + archiveDir,
	}
	if len(o.Namespaces) > 0 {
		args = append(args, "--namespaces="+strings.Join(o.Namespaces, ","))
	}
	if o.Policy == "" {
		args = append(args, "--hold-always")
	}
	if o.PrometheusURL != "" {
		args = append(args, "--prometheus-url="+o.PrometheusURL)
	}
	return args
}

func (o Options) container() corev1.Container {
	probe := func(path string, period int32) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("health")}},
			PeriodSeconds: period, TimeoutSeconds: 2,
		}
	}
	return corev1.Container{
		Name: "controller", Image: o.Image, Args: o.args(),
		Env: []corev1.EnvVar{
			{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "POD_NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		},
		Ports: []corev1.ContainerPort{
			{Name: "metrics", ContainerPort: metricsPort}, {Name: "health", ContainerPort: healthPort},
		},
		LivenessProbe: probe("/healthz", 20), ReadinessProbe: probe("/readyz", 5),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: quantity(o.Resources.CPURequest), corev1.ResourceMemory: quantity(o.Resources.MemoryRequest)},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: quantity(o.Resources.MemoryLimit)},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true), RunAsNonRoot: ptr(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "archive", MountPath: archiveDir}, {Name: "credentials", MountPath: credentialsDir, ReadOnly: true}, {Name: "tmp", MountPath: "/tmp"}},
	}
}

// metricsService is where Prometheus finds the controller's own metrics.
func (o Options) metricsService() client.Object {
	return &corev1.Service{
		ObjectMeta: o.meta(o.Namespace, Controller+"-metrics"),
		Spec: corev1.ServiceSpec{
			Selector: selector(),
			Ports:    []corev1.ServicePort{{Name: "metrics", Port: metricsPort, TargetPort: intstr.FromString("metrics")}},
		},
	}
}

// disruptionBudget keeps one replica through the draining of nodes. With a
// single replica it would only block the draining.
func (o Options) disruptionBudget() client.Object {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: o.meta(o.Namespace, Controller),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: selector()},
		},
	}
}

// quantity reads a quantity that Validate has seen.
func quantity(s string) resource.Quantity {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return resource.Quantity{}
	}
	return q
}

func ptr[T any](v T) *T { return &v }
