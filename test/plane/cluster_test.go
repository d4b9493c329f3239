//go:build plane

package plane_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"serin.dev/serin/test/plane"
)

func logs(t *testing.T, p corev1.Pod, o corev1.PodLogOptions) string {
	t.Helper()
	b, err := cluster.Client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &o).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("read the log of pod %s: %v", p.Name, err)
	}
	return string(b)
}

func TestLogsAreReadThroughTheAPIServer(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1, "-version=v7"))
	create(t, deployment(ns, "crashing", 1, "-crash=3"))
	rolledOut(t, ns, "web")
	p := pods(t, ns, "web")[0]
	if got := logs(t, p, corev1.PodLogOptions{}); got != "version v7 starts\n" {
		t.Errorf("the log is %q", got)
	}
	stamped := strings.Fields(logs(t, p, corev1.PodLogOptions{Timestamps: true}))
	if at, err := time.Parse(time.RFC3339Nano, stamped[0]); err != nil || time.Since(at) > limit {
		t.Errorf("the line's time is %q: %v", stamped[0], err)
	}
	if got := logs(t, p, corev1.PodLogOptions{SinceTime: new(metav1.NewTime(time.Now().Add(time.Hour)))}); got != "" {
		t.Errorf("lines of the future: %q", got)
	}

	stream, err := cluster.Client.CoreV1().Pods(ns).GetLogs(p.Name, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := cluster.Client.CoreV1().Pods(ns).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var followed []string
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		followed = append(followed, lines.Text())
	}
	if got := strings.Join(followed, "; "); got != "version v7 starts; told to end" {
		t.Errorf("followed to its end, the log is %q", got)
	}

	crashed := becomes(t, ns, "crashing", func(_ corev1.Pod, c corev1.ContainerStatus) bool { return c.RestartCount >= 1 })
	if got := logs(t, crashed, corev1.PodLogOptions{Previous: true}); !strings.Contains(got, "panic: asked to crash\n") {
		t.Errorf("the log before the crash is %q", got)
	}
}

// query asks Prometheus and returns the values by pod.
func query(t *testing.T, q string) (map[string]string, error) {
	t.Helper()
	body, err := ask(t.Context(), plane.PrometheusURL+"/api/v1/query?query="+url.QueryEscape(q), "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, r := range answer.Data.Result {
		values[r.Metric["job"]+"/"+r.Metric["pod"]] = fmt.Sprint(r.Value[1])
	}
	return values, nil
}

func TestPrometheusSeesTrafficNodeAndPods(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1))
	rolledOut(t, ns, "web")
	p := pods(t, ns, "web")[0]
	for q, series := range map[string]string{
		`up == 1`: "traefik/",
		fmt.Sprintf(`container_memory_working_set_bytes{namespace=%q,container="main"} > 1e6`, ns):     "kubelet/" + p.Name,
		fmt.Sprintf(`container_cpu_usage_seconds_total{namespace=%q,container="main"} > 0`, ns):        "kubelet/" + p.Name,
		fmt.Sprintf(`sample_served_total{namespace=%q,pod_template_hash!=""}`, ns):                     "pods/" + p.Name,
		fmt.Sprintf(`rate(container_cpu_usage_seconds_total{namespace=%q,container="main"}[20s])`, ns): "kubelet/" + p.Name,
	} {
		eventually(t, limit, func() error {
			values, err := query(t, q)
			if err != nil {
				return err
			}
			if values[series] == "" {
				return fmt.Errorf("%s has no value for %s: %v", q, series, values)
			}
			return nil
		})
	}
}

func TestPodsOutliveTheAPIServer(t *testing.T) {
	ns := namespace(t)
	create(t, deployment(ns, "web", 1))
	rolledOut(t, ns, "web")
	p := pods(t, ns, "web")[0]

	cluster.APIServer.Kill()
	if _, err := cluster.Client.CoreV1().Pods(ns).Get(t.Context(), p.Name, metav1.GetOptions{}); err == nil {
		t.Error("a killed API server answers")
	}
	if got := get(t, "http://"+p.Status.PodIP+":8080/"); got != "v1" {
		t.Errorf("without an API server the pod answers %q", got)
	}
	if err := cluster.APIServer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	if err := cluster.APIServer.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	_, err := cluster.Client.CoreV1().Pods(ns).Get(ctx, p.Name, metav1.GetOptions{})
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen API server answers %v; want no answer", err)
	}
	if err := cluster.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	// Node and controllers find back by themselves.
	edit(t, ns, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) })
	rolledOut(t, ns, "web")
	if got := pods(t, ns, "web"); len(got) != 2 || got[0].Status.ContainerStatuses[0].RestartCount+got[1].Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("after the API server was away the pods are %+v", got)
	}
}

func TestRightsAreThoseThatRBACGives(t *testing.T) {
	ns := namespace(t)
	list := func(config *rest.Config, namespace string) error {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(cluster.User("mallory"), ns); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights may list pods: %v", err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
	if _, err := cluster.Client.CoreV1().ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reader, err := cluster.ServiceAccount(t.Context(), ns, "reader")
	if err != nil {
		t.Fatal(err)
	}
	if err := list(reader, ns); !apierrors.IsForbidden(err) {
		t.Errorf("a service account without rights may list pods: %v", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: ns}, {Kind: "User", Name: "alice", APIGroup: rbacv1.GroupName}},
	}
	if _, err := cluster.Client.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, func() error { return errors.Join(list(reader, ns), list(cluster.User("alice"), ns)) })
	if err := list(reader, "default"); !apierrors.IsForbidden(err) {
		t.Errorf("a service account with rights in one namespace may list the pods of another: %v", err)
	}
}

func TestAPodHasTheIdentityOfItsServiceAccount(t *testing.T) {
	ns := namespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	if _, err := cluster.Client.CoreV1().ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d := deployment(ns, "web", 1, "-identity")
	d.Spec.Template.Spec.ServiceAccountName = "shop"
	create(t, d)
	rolledOut(t, ns, "web")
	if got, want := logs(t, pods(t, ns, "web")[0], corev1.PodLogOptions{}), "system:serviceaccount:"+ns+":shop"; !strings.Contains(got, want) {
		t.Errorf("the pod is known as %q; want %s", got, want)
	}
}

func TestTheAPIServerHoldsDeploymentsByAPolicy(t *testing.T) {
	resources, err := cluster.Client.Discovery().ServerResourcesForGroupVersion("admissionregistration.k8s.io/v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.APIResources {
		if r.Name == "mutatingadmissionpolicies" {
			return
		}
	}
	t.Error("the API server does not serve MutatingAdmissionPolicy in admissionregistration.k8s.io/v1")
}

func TestTwoPlanesRunBesideOneAnother(t *testing.T) {
	other, err := plane.Start(t.Context(), plane.Options{NoControllers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}()
	out, err := other.Kubectl(t.Context(), "get", "nodes", "-o", "name")
	if err != nil || out != "" {
		t.Errorf("a new plane has nodes: %q, %v", out, err)
	}
}
