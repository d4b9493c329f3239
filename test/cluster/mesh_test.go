//go:build plane

package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
)

// meshArg makes this test program a gateway that follows a VirtualService.
const meshArg = "be-the-mesh"

// mesh stands in for Istio's ingress gateway, which cannot be had here: it leads
// requests by the weights of the first HTTP route of the VirtualService shop to the
// ready endpoints of the Services that it names, and counts them as Istio does.
type mesh struct {
	namespace string
	objects   client.Client
	route     atomic.Pointer[[]hop]

	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// hop is one destination of the route.
type hop struct {
	service string
	weight  int64
	to      []string // addresses
}

func serveMesh() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	labels := []string{"reporter", "destination_service_name", "destination_service_namespace", "response_code"}
	m := &mesh{
		namespace: os.Getenv("POD_NAMESPACE"),
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "istio_requests_total"}, labels),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "istio_request_duration_milliseconds", Buckets: []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000},
		}, labels),
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err == nil {
		m.objects, err = client.New(config, client.Options{Scheme: kube.Scheme()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			if err := m.look(ctx); err != nil {
				fmt.Fprintln(os.Stderr, err) // the next look has it
			}
		}
	}()
	figures := prometheus.NewRegistry()
	figures.MustRegister(m.requests, m.took)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(figures, promhttp.HandlerOpts{}))
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if m.route.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.Handle("/", m)
	server := &http.Server{Addr: os.Getenv("POD_IP") + ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// look reads the route and whom it leads to.
func (m *mesh) look(ctx context.Context) error {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("networking.istio.io/v1")
	u.SetKind("VirtualService")
	if err := m.objects.Get(ctx, client.ObjectKey{Namespace: m.namespace, Name: "shop"}, u); err != nil {
		return err
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "http")
	if len(list) == 0 {
		return errors.New("the VirtualService has no HTTP route")
	}
	var all []hop
	for _, entry := range list[0].(map[string]any)["route"].([]any) {
		entry := entry.(map[string]any)
		service, _, _ := strings.Cut(entry["destination"].(map[string]any)["host"].(string), ".")
		h := hop{service: service}
		h.weight, _ = entry["weight"].(int64)
		var slices discoveryv1.EndpointSliceList
		if err := m.objects.List(ctx, &slices, client.InNamespace(m.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
			return err
		}
		for _, slice := range slices.Items {
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					h.to = append(h.to, e.Addresses[0]+":"+strconv.Itoa(int(*slice.Ports[0].Port)))
				}
			}
		}
		all = append(all, h)
	}
	m.route.Store(&all)
	return nil
}

// ServeHTTP implements http.Handler.
func (m *mesh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := m.route.Load()
	if route == nil {
		http.Error(w, "no route yet", http.StatusNotFound)
		return
	}
	sum := int64(0)
	for _, h := range *route {
		sum += h.weight
	}
	at := rand.Int64N(max(sum, 1))
	i := slices.IndexFunc(*route, func(h hop) bool { at -= h.weight; return at < 0 })
	to := (*route)[max(i, 0)]
	begun, code := time.Now(), http.StatusServiceUnavailable
	defer func() {
		by := []string{"source", to.service, m.namespace, strconv.Itoa(code)}
		m.requests.WithLabelValues(by...).Inc()
		m.took.WithLabelValues(by...).Observe(float64(time.Since(begun)) / float64(time.Millisecond))
	}()
	if len(to.to) == 0 {
		http.Error(w, "no healthy upstream", code)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", to.to[rand.IntN(len(to.to))]
			p.Out.Host = p.In.Host
		},
		ModifyResponse: func(res *http.Response) error { code = res.StatusCode; return nil },
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), code) },
	}
	proxy.ServeHTTP(w, r)
}

const meshManifest = `apiVersion: v1
kind: ServiceAccount
metadata: {name: mesh, namespace: NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mesh, namespace: NS}
rules:
- {apiGroups: [networking.istio.io], resources: [virtualservices], verbs: [get]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mesh, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mesh}
subjects: [{kind: ServiceAccount, name: mesh, namespace: NS}]
---
apiVersion: v1
kind: Pod
metadata:
  name: mesh
  namespace: NS
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
spec:
  serviceAccountName: mesh
  containers:
  - name: mesh
    image: mesh:v1
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: http}}
`

// throughMesh starts the mesh and returns a client whose requests go through it.
func (s *shop) throughMesh() *http.Client {
	s.t.Helper()
	s.apply(meshManifest)
	address := ""
	eventually(s.t, limit, func() error {
		var pod corev1.Pod
		if err := admin(s.t).Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "mesh"}, &pod); err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				address = pod.Status.PodIP + ":8080"
				return nil
			}
		}
		return fmt.Errorf("the mesh is not ready: %+v", pod.Status)
	})
	return &http.Client{Timeout: 10 * time.Second, Transport: toAddress{address, &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// toAddress sends every request to one address.
type toAddress struct {
	address string
	next    *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (a toAddress) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = a.address
	return a.next.RoundTrip(req)
}

// CloseIdleConnections lets http.Client close them.
func (a toAddress) CloseIdleConnections() { a.next.CloseIdleConnections() }

const virtualServiceCompared = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  namespace: NS
  annotations: {note: "# keep: me\n  as I am"}
spec:
  hosts: [shop]
  http:
  - name: main
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s}
    headers: {response: {set: {x-a/b~c: d}}}
    route:
    - destination: {host: shop-stable, port: {number: 80}}
      weight: 100
    - destination: {host: shop-canary.NS.svc.cluster.local, port: {number: 80}}
      weight: 0
    - destination: {host: shop-baseline, port: {number: 80}}
      weight: 0
`

// Through Istio's host form, by the counters of Istio: pods that have just started
// are slower in every version, and only a version that is slower than that goes
// back.
func TestABaselineThroughIstiosHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		args    []string
		end     string
		twenty  []int64
		answers bool
	}{
		{"a cold canary is promoted", nil, "promoted", []int64{60, 20, 20}, true},
		{"a slow version is rolled back", []string{"-delay=600ms"}, "rolledBack", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, cold := cold(t, 3)
			s.apply(virtualServiceCompared)
			before := s.object("VirtualService")
			mesh := s.throughMesh()
			s.roll("[{weight: 20, duration: 40s}, {weight: 33, duration: 8s}]",
				append(slices.Clone(withBaseline), "gatewayAPI: {httpRoute: shop}", "istio: {virtualService: shop}", "preset: traefik", "preset: istio")...)
			users := sendBy(t, mesh, s.host, 50)
			s.change("v2", append(c.args, cold)...)
			if c.twenty != nil {
				s.istioWeighs(c.twenty...)
			}
			run := s.ends(1, 2*limit)
			if run.Status.Phase != c.end {
				t.Fatalf("the run ended as %q, want %q: %s", run.Status.Phase, c.end, run.Status.Reason)
			}
			s.istioWeighs(100, 0, 0)
			s.noBaseline()
			answered := s.unharmed(users)
			fresh := 0
			for pod := range answered.pods {
				if strings.Contains(pod, "-baseline-") {
					fresh++
				}
			}
			if c.answers && fresh != 1 || answered.versions["v2"] == 0 {
				t.Errorf("answered %v by %v; want one pod of a baseline among them", answered.versions, answered.pods)
			}
			s.recorded("shop-1")
			if !s.recordTells(`"baseline":{"instances":1,"requests":`) {
				t.Error("the record has no figures of the baseline")
			}
			if after := s.object("VirtualService"); fmt.Sprint(withoutWeights(before)) != fmt.Sprint(withoutWeights(after)) {
				t.Errorf("more than weights has changed: the VirtualService was\n%v\nand is\n%v", before, after)
			}
		})
	}
}
