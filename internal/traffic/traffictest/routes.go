package traffictest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"serin.dev/serin/internal/traffic"
)

// What follows is for routers that read a route which people write: what an
// adapter must find in it, however its kind writes that.

// The Services that routes are about here, in the namespace web.
const (
	StableService   = "shop-stable"
	CanaryService   = "shop-canary"
	BaselineService = "shop-baseline"
)

// Destination is one entry of a rule; Namespace is empty where the rule names
// none.
type Destination struct {
	Service, Namespace string
	Weight             int64
}

// NamesABaseline checks that a rule's third destination is the baseline and
// nothing else. weight reads the baseline's weight of a route in the namespace web
// that has one rule with these destinations: -1 where it names no baseline.
func NamesABaseline(t *testing.T, weight func(to []Destination) (int64, error)) {
	stable, canary := Destination{Service: StableService, Weight: 90}, Destination{Service: CanaryService, Weight: 5}
	third := func(service, namespace string) Destination { return Destination{service, namespace, 5} }
	for _, c := range []struct {
		name    string
		to      []Destination
		refused bool
		want    int64
	}{
		{"two", []Destination{stable, canary}, false, -1},
		{"three", []Destination{stable, canary, third(BaselineService, "")}, false, 5},
		{"three in another order", []Destination{third(BaselineService, ""), canary, stable}, false, 5},
		{"with its namespace", []Destination{stable, canary, third(BaselineService, "web")}, false, 5},
		{"one twice", []Destination{stable, canary, third(BaselineService, ""), third(BaselineService, "")}, true, 0},
		{"another namespace's", []Destination{stable, canary, third(BaselineService, "other")}, true, 0},
		{"somebody else", []Destination{stable, canary, third("shop-old", "")}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := weight(c.to)
			switch {
			case c.refused && !errors.Is(err, traffic.ErrRefused):
				t.Errorf("read %d, %v; want ErrRefused", got, err)
			case !c.refused && (err != nil || got != c.want):
				t.Errorf("the baseline's weight is %d (%v), want %d", got, err, c.want)
			}
		})
	}
}

// Asides are routes of an adapter's kind, each as its adapter's find reads it.
type Asides struct {
	// Both has a rule that names both arms and asks for a header: it gets the
	// weights.
	Both string
	// Testers leads requests with the header x-tester: yes to the canary.
	Testers string
	// Everybody leads all requests to the canary, without a weight.
	Everybody string
	// Nobody names the canary beside another Service, with a weight of 0.
	Nobody string
	// Copies sends the canary copies of all requests, of which a rule that names
	// both arms answers.
	Copies string
	// Others are what only this kind can say, by what it is.
	Others map[string]Found
}

// Found is a route and what is to be found in it: each as "ARM: REQUESTS", with
// "(open)" and "(copies)" behind the arm.
type Found struct {
	Route string
	Want  []string
}

// FindsAsides checks that a router's adapter finds what a route sends to an arm
// whatever the weight is.
func FindsAsides(t *testing.T, a Asides, find func(t *testing.T, route string) []traffic.Aside) {
	all := map[string]Found{
		"a rule with both is Serin's":  {a.Both, nil},
		"testers by a header":          {a.Testers, []string{"canary: requests with header x-tester: yes"}},
		"everything":                   {a.Everybody, []string{"canary (open): all requests"}},
		"a weight of 0 sends nothing":  {a.Nobody, nil},
		"copies of what others answer": {a.Copies, []string{"canary (open) (copies): all requests"}},
	}
	maps.Copy(all, a.Others)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, aside := range find(t, all[name].Route) {
				s := string(aside.Arm)
				if aside.Open {
					s += " (open)"
				}
				if aside.Copies {
					s += " (copies)"
				}
				got = append(got, s+": "+aside.Requests)
			}
			if want := all[name].Want; !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}
