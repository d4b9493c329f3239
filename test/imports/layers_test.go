package imports

import (
	"slices"
	"strings"
	"testing"
)

// layer is a ring of the design. What it may import is said in allowed.
type layer string

const (
	pure    layer = "pure room"
	port    layer = "port"
	leaf    layer = "shared leaf"
	base    layer = "adapters' base"
	adapter layer = "adapter"
	suite   layer = "conformance suite"
	fixture layer = "fixture"
	reader  layer = "reader of records or ticks"
	runner  layer = "runner"
	driver  layer = "driver"
	builtin layer = "builtin"
	app     layer = "app"
	command layer = "command"
	whole   layer = "whole-system test"
	plane   layer = "test plane"
	// What is put into a cluster and looked for there, before and after any run.
	installer layer = "installer"
)

// allowed says which layers a layer may import, besides those that rules below
// narrow down.
var allowed = map[layer][]layer{
	pure:    {pure},
	port:    {pure},
	leaf:    {pure, leaf},
	base:    {pure, leaf, port},
	adapter: {pure, leaf, port, base},
	suite:   {pure, port, fixture},
	fixture: {pure},
	reader:  {pure},
	runner:  {pure, port, reader},
	driver:  {pure, port, reader, runner, driver, installer},
	builtin: {pure, port, adapter, leaf, runner},
	app:     {pure, port, reader, runner, driver, builtin, leaf, installer},
	command: {app, driver, builtin, installer},
	whole:   {pure, port, leaf, adapter, suite, fixture, reader, runner, driver, builtin, app, plane, installer},
	plane:   {plane, driver},

	installer: {pure, leaf, port, installer},
}

// mend says what to do about an import that a layer may not have.
var mend = map[layer]string{
	pure:      "hand the value in as an argument; a pure room knows nothing outside of the pure rooms",
	port:      "a port speaks the vocabulary of internal/rollout; move what it needs there, or out of the port",
	leaf:      "a leaf is used by several adapters and knows none of them nor their ports; move the code to the adapter that needs it",
	base:      "an adapters' base is what several adapters of one port have in common: it knows its port, the pure rooms and the shared leaves",
	adapter:   "an adapter knows its own port, the pure rooms and the shared leaves; what two adapters need becomes a leaf",
	suite:     "a conformance suite knows its port and nothing that implements it; the adapter's own test calls it",
	fixture:   "a fixture makes examples of a pure room's values, from the pure rooms alone",
	reader:    "a reader turns records or ticks into something else, from the pure rooms alone",
	runner:    "the runner knows ports; let builtin hand it the adapter",
	driver:    "a driver drives the runner over ports; let app hand it the adapter",
	builtin:   "builtin is the list of adapters; what is more than a list belongs elsewhere",
	app:       "app wires through builtin; add a line there and ask for it by name",
	command:   "the command is flags; move the code to app or cli",
	installer: "an installer knows objects and the ports; permissions and routers of adapters are handed to it",
	plane:     "the test plane knows Kubernetes and the demo shop, not Serin; a test that needs both imports both",
}

var pureRooms = []string{"rollout", "stats", "exceptions", "analysis", "engine", "record"}

var ports = []string{"traffic", "workload", "metrics", "gate", "notify", "store", "archive"}

// exceptions are imports that break the rule, each with its reason.
var exceptions = map[[2]string]string{
	{"internal/app", "internal/store/sqlite"}: "the home decides its store, not the user: one machine has the embedded database, and a file cannot name another",
	{"internal/app", "internal/store/crd"}:    "as with one machine's database: a cluster's store is its API server, and no rollout can name another",
	{"internal/app", "internal/store/memory"}: "as with its database: looking at a machine where nothing ever ran leaves no database behind",
	{"internal/controller", "api/v1alpha1"}:   "it watches these objects and writes their status",
	{"internal/cli", "internal/kube"}:         "commands reach a cluster with the person's own credentials",
	{"internal/cli", "api/v1alpha1"}:          "commands tell of these objects and write intents into them",
	{"cmd/serin", "internal/guarded"}:         "the default transport belongs to the process, so main alone may replace it",
}

// layerOf says which layer a package is in; empty when nobody has said.
func layerOf(path string) layer {
	rest, internal := strings.CutPrefix(path, "internal/")
	switch {
	case strings.HasPrefix(path, "cmd/"), path == "deploy/generate":
		return command
	case path == "test/plane" || strings.HasPrefix(path, "test/plane/"):
		return plane
	case path == "test/bench/shipped": // what benches share, and knows nothing of Serin either
		return plane
	case strings.HasPrefix(path, "test/"):
		return whole
	case strings.HasPrefix(path, "api/"):
		return leaf
	case !internal:
		return ""
	}
	top, below, nested := strings.Cut(rest, "/")
	switch {
	case nested && strings.HasSuffix(rest, "test") && slices.Contains(ports, top):
		return suite
	case nested && strings.HasSuffix(rest, "test") && slices.Contains(pureRooms, top):
		return fixture
	case slices.Contains(pureRooms, top):
		return pure
	case slices.Contains([]string{"workload/probe", "workload/statefile"}, rest):
		return leaf
	case rest == "traffic/weighted":
		return base
	case slices.Contains(ports, top) && below != "":
		return adapter
	case slices.Contains(ports, top):
		return port
	}
	switch top {
	case "proxy", "guarded", "credential", "kube":
		return leaf
	case "report", "judge", "simulate", "backtest":
		return reader
	case "runner":
		return runner
	case "cli", "server", "demo", "controller":
		return driver
	case "install", "doctor":
		return installer
	case "builtin":
		return builtin
	case "app":
		return app
	}
	return ""
}

// portOf is the port that an adapter or a suite belongs to.
func portOf(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:2], "/")
}

// complaint says what is wrong with one import, if anything.
func complaint(from, to string) string {
	a, b := layerOf(from), layerOf(to)
	if _, ok := exceptions[[2]string{from, to}]; ok {
		return ""
	}
	switch {
	case !slices.Contains(allowed[a], b):
		return "a " + string(a) + " may not import a " + string(b) + ": " + mend[a]
	case (a == adapter || a == base || a == suite) && b == port && portOf(from) != to:
		return "a " + string(a) + " may not import another port than its own: " + mend[a]
	case a == adapter && b == base && portOf(from) != portOf(to):
		return "an adapter may not import the base of another port: " + mend[a]
	case a == pure && !slices.Contains(outward[room(from)], room(to)) && room(from) != room(to):
		return "of the pure rooms, " + room(from) + " may import only " + strings.Join(outward[room(from)], ", ") + ": the arrows are stats ← analysis ← engine ← record, and rollout below all"
	}
	return ""
}

// outward says which pure rooms each may import.
var outward = map[string][]string{
	"rollout":  nil,
	"stats":    nil,
	"analysis": {"rollout", "stats"},
	"engine":   {"rollout", "analysis"},
	"record":   {"rollout", "engine", "analysis"},
}

func room(path string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(path, "internal/"), "/")
	return top
}

func TestArrowsPointInward(t *testing.T) {
	for _, p := range list(t) {
		if layerOf(p.ImportPath) == "" {
			t.Errorf("%s is in no layer of docs and design; say in test/imports/layers_test.go which it is in", p.ImportPath)
			continue
		}
		for _, to := range p.Imports {
			if !ours(to) {
				continue
			}
			if c := complaint(p.ImportPath, to); c != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, c)
			}
		}
	}
}

// An exception that nobody needs any more is not kept.
func TestExceptionsAreNeeded(t *testing.T) {
	all := list(t)
	for e, why := range exceptions {
		used := slices.ContainsFunc(all, func(p pkg) bool { return p.ImportPath == e[0] && slices.Contains(p.Imports, e[1]) })
		if !used {
			t.Errorf("%s does not import %s any more; remove the exception (%s)", e[0], e[1], why)
		}
	}
}

// The rules themselves find what they are there to find.
func TestTheRulesFindWrongArrows(t *testing.T) {
	wrong := [][2]string{
		{"internal/engine", "internal/store"},
		{"internal/stats", "internal/rollout"},
		{"internal/analysis", "internal/engine"},
		{"internal/rollout", "internal/builtin"},
		{"internal/traffic", "internal/traffic/proxy"},
		{"internal/traffic/proxy", "internal/metrics"},
		{"internal/traffic/weighted", "internal/metrics"},
		{"internal/traffic/weighted", "internal/traffic/istio"},
		{"internal/metrics/prometheus", "internal/traffic/weighted"},
		{"internal/traffic/proxy", "internal/workload/process"},
		{"internal/metrics/proxystats", "internal/metrics/prometheus"},
		{"internal/runner", "internal/store/sqlite"},
		{"internal/runner", "internal/server"},
		{"internal/cli", "internal/traffic/proxy"},
		{"internal/server", "internal/app"},
		{"internal/app", "internal/workload/process"},
		{"internal/proxy", "internal/traffic"},
		{"internal/report", "internal/store"},
		{"cmd/serin", "internal/engine"},
		{"internal/traffic/traffictest", "internal/traffic/proxy"},
	}
	for _, w := range wrong {
		if complaint(w[0], w[1]) == "" {
			t.Errorf("%s may import %s", w[0], w[1])
		}
	}
}

// usedByTests are adapters that tests of other packages use, with the reason.
var usedByTests = map[string][]string{
	// The store in memory is the fake of its port: it behaves, and can be told
	// to fail.
	"internal/store/memory": {"internal/runner", "internal/server", "internal/store/storetest", "test/faults"},
	// One machine's own database, which whole-system tests open as the program
	// left it.
	"internal/store/sqlite": {"test/cli", "test/machine"},
	// The API's tests archive real records in a folder.
	"internal/archive/file": {"internal/server"},
}

// The house test: deleting one adapter's folder breaks builtin and nothing
// else.
func TestDeletingAnAdapterBreaksOnlyBuiltin(t *testing.T) {
	all := list(t)
	for _, a := range all {
		if layerOf(a.ImportPath) != adapter {
			continue
		}
		for _, p := range all {
			_, excepted := exceptions[[2]string{p.ImportPath, a.ImportPath}]
			inTests := slices.Contains(usedByTests[a.ImportPath], p.ImportPath)
			if p.ImportPath == a.ImportPath || p.ImportPath == "internal/builtin" || excepted || inTests {
				continue
			}
			if slices.Contains(p.Imports, a.ImportPath) {
				t.Errorf("%s imports the adapter %s, so deleting that would break it: %s", p.ImportPath, a.ImportPath, mend[layerOf(p.ImportPath)])
			}
			if slices.Contains(p.tests(), a.ImportPath) {
				t.Errorf("the tests of %s import the adapter %s, so deleting that would break them: use the port's fake, or test through the program", p.ImportPath, a.ImportPath)
			}
		}
	}
}

// Every adapter is held to its port's conformance suite, where there is one.
func TestEveryAdapterRunsItsPortsSuite(t *testing.T) {
	all := list(t)
	exists := func(path string) bool {
		return slices.ContainsFunc(all, func(p pkg) bool { return p.ImportPath == path })
	}
	for _, a := range all {
		if layerOf(a.ImportPath) != adapter {
			continue
		}
		port := portOf(a.ImportPath)
		suite := port + "/" + room(port) + "test"
		switch {
		case !exists(suite):
			t.Errorf("the port %s has no conformance suite %s", port, suite)
		case !slices.Contains(a.tests(), suite) && !slices.Contains(testsOf(all, suite), a.ImportPath):
			t.Errorf("%s does not run the conformance suite %s; call it in its tests", a.ImportPath, suite)
		}
	}
}

func testsOf(all []pkg, path string) []string {
	i := slices.IndexFunc(all, func(p pkg) bool { return p.ImportPath == path })
	return all[i].tests()
}
