//go:build plane

package plane_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gateway "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned"

	"serin.dev/serin/test/plane"
)

// get returns what an address answers, or why it does not.
func get(t *testing.T, url string) string {
	t.Helper()
	body, err := ask(t.Context(), url, "")
	if err != nil {
		return err.Error()
	}
	return body
}

func ask(ctx context.Context, url, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

func post(url string) error {
	resp, err := http.Post(url, "text/plain", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// service makes a Service for the pods of the Deployment of the same name.
func service(t *testing.T, namespace, name string) {
	t.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if _, err := cluster.Client.CoreV1().Services(namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// readyEndpoints waits until so many addresses of a Service are ready.
func readyEndpoints(t *testing.T, namespace, name string, want int) {
	t.Helper()
	eventually(t, limit, func() error {
		slices, err := cluster.Client.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
		if err != nil {
			return err
		}
		ready := 0
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready++
				}
			}
		}
		if ready != want {
			return fmt.Errorf("%d endpoints are ready; want %d", ready, want)
		}
		return nil
	})
}

func backend(name string, weight int32) gatewayv1.HTTPBackendRef {
	return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
		BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(name), Port: new(gatewayv1.PortNumber(80))},
		Weight:                 &weight,
	}}
}

// answers counts who answers so many requests through the gateway.
func answers(t *testing.T, host string, requests int) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range requests {
		body, err := ask(t.Context(), "http://"+plane.GatewayAddress+"/", host)
		if err != nil {
			t.Fatalf("a request through the gateway failed: %v", err)
		}
		count[body]++
	}
	return count
}

func TestTrafficFollowsTheWeightsOfARoute(t *testing.T) {
	ns := namespace(t)
	for _, name := range []string{"stable", "canary"} {
		create(t, deployment(ns, name, 1, "-version="+name))
		service(t, ns, name)
	}
	rolledOut(t, ns, "stable")
	rolledOut(t, ns, "canary")
	readyEndpoints(t, ns, "stable", 1)
	readyEndpoints(t, ns, "canary", 1)

	client, err := gateway.NewForConfig(cluster.Admin)
	if err != nil {
		t.Fatal(err)
	}
	host := ns + ".example"
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}, Spec: gatewayv1.HTTPRouteSpec{
		CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Name: "gateway", Namespace: new(gatewayv1.Namespace("gateway"))}}},
		Hostnames:       []gatewayv1.Hostname{gatewayv1.Hostname(host)},
		Rules:           []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{backend("stable", 95), backend("canary", 5)}}},
	}}
	routes := client.GatewayV1().HTTPRoutes(ns)
	if _, err := routes.Create(t.Context(), route, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, func() error {
		_, err := ask(t.Context(), "http://"+plane.GatewayAddress+"/", host)
		return err
	})
	if got := answers(t, host, 1000); got["stable"]+got["canary"] != 1000 || got["canary"] < 49 || got["canary"] > 51 {
		t.Errorf("of 1,000 requests at 95/5 the answers were %v; want 950 and 50, one more or less", got)
	}

	patch := `[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":100},{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":0}]`
	if _, err := routes.Patch(t.Context(), "web", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, func() error {
		if got := answers(t, host, 40); got["canary"] > 0 {
			return fmt.Errorf("the canary still answers: %v", got)
		}
		return nil
	})
	if got := answers(t, host, 1000); got["stable"] != 1000 {
		t.Errorf("of 1,000 requests at 100/0 the answers were %v", got)
	}
	eventually(t, limit, func() error {
		r, err := routes.Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, parent := range r.Status.Parents {
			for _, c := range parent.Conditions {
				if c.Type == string(gatewayv1.RouteConditionAccepted) && c.Status == metav1.ConditionTrue && c.ObservedGeneration == r.Generation {
					return nil
				}
			}
		}
		return fmt.Errorf("the route is not accepted at generation %d: %+v", r.Generation, r.Status)
	})
}
