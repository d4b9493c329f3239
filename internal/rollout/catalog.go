package rollout

// Catalog lists the adapters a file may name: for every port and kind, a
// function that returns a pointer to a new configuration value of that kind
// with its defaults set. The pure room knows no adapter, so whoever reads a
// file brings the catalog of the program.
type Catalog map[Port]map[string]func() any

// Port names a place in the file where an adapter is chosen.
type Port string

const (
	WorkloadPort Port = "workload"
	TrafficPort  Port = "traffic"
	MetricsPort  Port = "metrics"
	BusinessPort Port = "business"
	TestPort     Port = "tests"
	HookPort     Port = "hooks"
	NotifyPort   Port = "notify"
	ArchivePort  Port = "archive"
)

// Validator is implemented by adapter configurations that can be wrong in ways
// their types do not show.
type Validator interface {
	// Validate returns every problem found, each with the field's path below
	// the configuration, such as "stable.command"; it does no I/O.
	Validate() []Problem
}

// Measurer is implemented by configurations of what measures that say whether
// a check's figures are among it.
type Measurer interface {
	Measures(t CheckType, name string) bool
}

// Problem is one mistake in a file.
type Problem struct {
	// Field is the path of the field, such as "spec.plan.phases[1].weight".
	Field string
	// Message says what is wrong; Mend what to write instead.
	Message string
	Mend    string
	// Warning marks what is likely a mistake but can be run.
	Warning bool
}
