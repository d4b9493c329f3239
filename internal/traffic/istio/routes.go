package istio

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
)

// routes finds the routes of a VirtualService that split between the arms.
type routes struct {
	namespace      string   // the VirtualService's
	only           []string // names of HTTP routes; empty means all routes
	stable, canary destination
	// baseline is where a plan with one has it; empty in the subset form.
	baseline destination
	compares bool
	// host is the Service that the DestinationRule is about, in the subset
	// form; a subset of another host is not an arm. Its name is empty while the
	// rule could not be read.
	host func() (service, namespace string)
}

// destination is how a route names an arm: by its Service, or by a subset of
// the host that both arms share.
type destination struct{ service, namespace, subset string }

// pairs returns the weights of every route that names both arms. A route that
// names one of them is the user's own.
func (r routes) pairs(u *unstructured.Unstructured) ([]arms.Pair, error) {
	var pairs []arms.Pair
	var port int64
	named := map[string]bool{}
	for _, field := range fields {
		list, _, err := unstructured.NestedSlice(u.Object, "spec", field)
		if err != nil {
			return nil, arms.Refuse("%s: spec.%s is not a list: %w", name(u), field, err)
		}
		for i, route := range list {
			route, _ := route.(map[string]any)
			routeName, _ := route["name"].(string)
			if !r.ours(field, route) {
				continue
			}
			p, n, err := r.pair(u, field, i, route)
			if err != nil {
				return nil, err
			}
			if port == 0 {
				port = n
			}
			if p != nil {
				pairs = append(pairs, *p)
				named[routeName] = true
			}
		}
	}
	for _, want := range r.only {
		if !named[want] {
			return nil, arms.Refuse("%s has no HTTP route named %q that names both arms; mend spec.traffic.istio.routes, or write in that route:\n%s", name(u), want, r.example(port))
		}
	}
	if len(pairs) == 0 {
		return nil, arms.Refuse("%s has no route that names both %s and %s, so there is nothing to give weights. Write in the route that is to be split:\n%s",
			name(u), r.stable, r.canary, r.example(port))
	}
	return pairs, nil
}

// fields are the lists of routes in a VirtualService.
var fields = []string{"http", "tls", "tcp"}

// ours reports whether a route is among those that the rollout is about.
func (r routes) ours(field string, route map[string]any) bool {
	routeName, _ := route["name"].(string)
	return len(r.only) == 0 || field == "http" && slices.Contains(r.only, routeName)
}

// pair returns the weights of one route, nil when it does not name both arms,
// and the port of a destination.
func (r routes) pair(u *unstructured.Unstructured, field string, i int, route map[string]any) (*arms.Pair, int64, error) {
	list, _ := route["route"].([]any)
	p := arms.Pair{Field: field}
	var port int64
	stable, canary, baseline, others := 0, 0, 0, ""
	for j, entry := range list {
		entry, _ := entry.(map[string]any)
		d, _ := entry["destination"].(map[string]any)
		w := arms.Weight{Path: kube.Pointer("spec", field, strconv.Itoa(i), "route", strconv.Itoa(j), "weight")}
		if n, ok := entry["weight"].(int64); ok {
			w.Value, w.Written = n, true
		}
		if number, ok := d["port"].(map[string]any); ok {
			port, _ = number["number"].(int64)
		}
		host, _ := d["host"].(string)
		switch {
		case !r.ofHost(host):
			others = host
		case r.stable.is(d, r.namespace):
			stable++
			p.Stable = w
		case r.canary.is(d, r.namespace):
			canary++
			p.Canary = w
		case r.baseline.service != "" && r.baseline.is(d, r.namespace):
			baseline++
			p.Baseline = &w
		default:
			others = host
		}
	}
	where := fmt.Sprintf("%s: spec.%s[%d].route", name(u), field, i)
	switch {
	case stable == 0 || canary == 0:
		return nil, port, nil
	case stable > 1 || canary > 1 || baseline > 1:
		return nil, port, arms.Refuse("%s names an arm more than once; name each once", where)
	case others != "":
		return nil, port, arms.Refuse("%s names %s beside the two arms, so the weights are not percents of all requests; give it a route of its own", where, others)
	}
	return &p, port, nil
}

// ofHost reports whether a host is the one of the DestinationRule.
func (r routes) ofHost(host string) bool {
	if r.host == nil {
		return true
	}
	service, namespace := r.host()
	name, in, ok := resolve(host, r.namespace)
	return service == "" || ok && name == service && in == namespace
}

// is reports whether a route's destination is this one.
func (d destination) is(of map[string]any, namespace string) bool {
	if d.subset != "" {
		return of["subset"] == d.subset
	}
	host, _ := of["host"].(string)
	service, in, ok := resolve(host, namespace)
	return ok && service == d.service && in == d.namespace
}

func (d destination) String() string {
	if d.subset != "" {
		return "subset " + d.subset
	}
	return "host " + d.service
}

// resolve returns the Service that a host names: a short name is one of the
// object's own namespace, name.namespace.svc[.domain] says its own.
func resolve(host, namespace string) (service, in string, ok bool) {
	parts := strings.Split(host, ".")
	switch {
	case host == "":
		return "", "", false
	case len(parts) == 1:
		return host, namespace, true
	case len(parts) >= 3 && parts[2] == "svc":
		return parts[0], parts[1], true
	}
	return "", "", false
}

// example says what to write in a route.
func (r routes) example(port int64) string {
	var b strings.Builder
	b.WriteString("    route:")
	type part struct {
		destination
		weight int
	}
	parts := []part{{r.stable, 100}, {r.canary, 0}}
	if r.compares {
		parts = append(parts, part{r.baseline, 0})
	}
	for _, a := range parts {
		host := a.service
		if a.service != "" && r.namespace != a.namespace {
			host = fmt.Sprintf("%s.%s.svc.cluster.local", a.service, a.namespace)
		}
		b.WriteString("\n    - destination:\n        host: ")
		if a.subset != "" {
			b.WriteString("the DestinationRule's host\n        subset: " + a.subset)
		} else {
			b.WriteString(host)
		}
		if port > 0 {
			fmt.Fprintf(&b, "\n        port:\n          number: %d", port)
		}
		fmt.Fprintf(&b, "\n      weight: %d", a.weight)
	}
	return b.String()
}

func name(u *unstructured.Unstructured) string {
	return u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
}
