//go:build plane

package plane_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// limit is how long the cluster may take for anything, on a machine that is
// busy with other things.
const limit = 90 * time.Second

// namespace makes a namespace of the test's own, gone with it.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	ns, err := cluster.Client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := cluster.Client.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return ns.Name
}

// deployment is a Deployment of the sample program.
func deployment(namespace, name string, replicas int32, args ...string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64(5)),
					Containers: []corev1.Container{{
						Name: "main", Image: "sample:1", Args: append([]string{"-listen=$(POD_IP):8080"}, args...),
						Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
						ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromString("http")}}},
					}},
				},
			},
		},
	}
}

func create(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	if _, err := cluster.Client.AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// edit changes a Deployment as it is now.
func edit(t *testing.T, namespace, name string, change func(*appsv1.Deployment)) {
	t.Helper()
	eventually(t, limit, func() error {
		d, err := cluster.Client.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(d)
		_, err = cluster.Client.AppsV1().Deployments(namespace).Update(t.Context(), d, metav1.UpdateOptions{})
		return err
	})
}

// rolledOut waits until every replica is of the newest template and available.
func rolledOut(t *testing.T, namespace, name string) {
	t.Helper()
	eventually(t, limit, func() error {
		d, err := cluster.Client.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want, s := *d.Spec.Replicas, d.Status
		if s.ObservedGeneration != d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
			return fmt.Errorf("the Deployment's status is %+v", s)
		}
		return nil
	})
}

func pods(t *testing.T, namespace, name string) []corev1.Pod {
	t.Helper()
	list, err := cluster.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// becomes waits until the only pod of a Deployment is as wanted, and returns it.
func becomes(t *testing.T, namespace, name string, wanted func(corev1.Pod, corev1.ContainerStatus) bool) corev1.Pod {
	t.Helper()
	var found corev1.Pod
	eventually(t, limit, func() error {
		list := pods(t, namespace, name)
		if len(list) != 1 || len(list[0].Status.ContainerStatuses) != 1 {
			return errors.New("there is no pod with a status")
		}
		if found = list[0]; !wanted(found, found.Status.ContainerStatuses[0]) {
			return fmt.Errorf("the pod's status is %+v", found.Status)
		}
		return nil
	})
	return found
}

func isReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestADeploymentRollsOut(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 2, "-version=v1"))
	rolledOut(t, ns, "web")
	edit(t, ns, "web", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Args[1] = "-version=v2"
	})
	rolledOut(t, ns, "web")
	eventually(t, limit, func() error {
		list := pods(t, ns, "web")
		if len(list) != 2 {
			return fmt.Errorf("%d pods are left", len(list))
		}
		for _, p := range list {
			if got := get(t, "http://"+p.Status.PodIP+":8080/"); got != "v2" {
				return fmt.Errorf("pod %s answers %q", p.Name, got)
			}
		}
		return nil
	})
}

func TestAPausedDeploymentKeepsItsPods(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 2, "-version=v1"))
	rolledOut(t, ns, "web")
	before := map[string]bool{}
	for _, p := range pods(t, ns, "web") {
		before[p.Name] = true
	}
	edit(t, ns, "web", func(d *appsv1.Deployment) {
		d.Spec.Paused = true
		d.Spec.Template.Spec.Containers[0].Args[1] = "-version=v2"
	})
	// Scaled while held, it makes more of the old version.
	edit(t, ns, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(3)) })
	eventually(t, limit, func() error {
		ready := 0
		for _, p := range pods(t, ns, "web") {
			if isReady(p) {
				ready++
				if got := get(t, "http://"+p.Status.PodIP+":8080/"); got != "v1" {
					t.Fatalf("pod %s answers %q while the Deployment is paused", p.Name, got)
				}
				delete(before, p.Name)
			}
		}
		if ready != 3 {
			return fmt.Errorf("%d pods are ready", ready)
		}
		return nil
	})
	if len(before) > 0 {
		t.Errorf("these pods are gone: %v", before)
	}
}

func TestACrashLoopIsReportedAsTheRealNodeDoes(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1, "-crash=3"))
	p := becomes(t, ns, "web", func(_ corev1.Pod, c corev1.ContainerStatus) bool {
		return c.RestartCount >= 2 && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
	})
	c := p.Status.ContainerStatuses[0]
	if last := c.LastTerminationState.Terminated; last == nil || last.ExitCode != 3 || last.Reason != "Error" {
		t.Errorf("the last state is %+v; want an exit with code 3", c.LastTerminationState)
	}
	if c.Ready || isReady(p) || p.Status.Phase != corev1.PodRunning {
		t.Errorf("a crashing pod is ready or not in phase Running: %+v", p.Status)
	}
}

func TestAnUnreadyPodGetsNoTraffic(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1, "-unhealthy"))
	service(t, ns, "web")
	p := becomes(t, ns, "web", func(p corev1.Pod, c corev1.ContainerStatus) bool { return c.State.Running != nil && !isReady(p) })
	readyEndpoints(t, ns, "web", 0)
	eventually(t, limit, func() error { return post("http://" + p.Status.PodIP + ":8080/health?ok=yes") })
	becomes(t, ns, "web", func(p corev1.Pod, _ corev1.ContainerStatus) bool { return isReady(p) })
	readyEndpoints(t, ns, "web", 1)
	if err := post("http://" + p.Status.PodIP + ":8080/health?ok=no"); err != nil {
		t.Fatal(err)
	}
	becomes(t, ns, "web", func(p corev1.Pod, _ corev1.ContainerStatus) bool { return !isReady(p) })
	readyEndpoints(t, ns, "web", 0)
}

func TestAnUnhealthyContainerIsRestarted(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "web", 1, "-unhealthy")
	main := &d.Spec.Template.Spec.Containers[0]
	main.ReadinessProbe, main.LivenessProbe = nil, main.ReadinessProbe
	create(t, d)
	becomes(t, ns, "web", func(_ corev1.Pod, c corev1.ContainerStatus) bool { return c.RestartCount >= 1 })
}

func TestAnImageThatIsNotThereIsReported(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "web", 1)
	d.Spec.Template.Spec.Containers[0].Image = "registry.example/does-not-exist:1"
	create(t, d)
	for _, reason := range []string{"ErrImagePull", "ImagePullBackOff"} {
		p := becomes(t, ns, "web", func(_ corev1.Pod, c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && c.State.Waiting.Reason == reason
		})
		if p.Status.Phase != corev1.PodPending {
			t.Errorf("the phase is %s; want Pending", p.Status.Phase)
		}
	}
}

func TestAPodHasTimeToEnd(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1, "-linger=2s"))
	rolledOut(t, ns, "web")
	p := pods(t, ns, "web")[0]
	began := time.Now()
	if err := cluster.Client.CoreV1().Pods(ns).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if got := get(t, "http://"+p.Status.PodIP+":8080/"); got != "v1" {
		t.Errorf("while it ends the pod answers %q", got)
	}
	eventually(t, limit, func() error {
		for _, left := range pods(t, ns, "web") {
			if left.UID == p.UID {
				return errors.New("the pod is still there")
			}
		}
		return nil
	})
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("the pod was gone after %s; it wanted 2 s to end", took)
	}
}

func TestManyPodsWithoutAProcessAreReadyAtOnce(t *testing.T) {
	ns := namespace(t)
	d := deployment(ns, "web", 200)
	d.Spec.Template.Annotations["kubelet.test/fake"] = "yes"
	create(t, d)
	rolledOut(t, ns, "web")
	edit(t, ns, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) })
	eventually(t, limit, func() error {
		if n := len(pods(t, ns, "web")); n > 0 {
			return fmt.Errorf("%d pods are left", n)
		}
		return nil
	})
}
