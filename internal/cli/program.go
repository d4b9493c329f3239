package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"serin.dev/serin/internal/backtest"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/simulate"
	"serin.dev/serin/internal/store"
)

// Program is what the command line drives: the program's modes, each a function
// that returns when the mode has ended.
type Program struct {
	Version string
	// Catalog lists the adapters a file may name; Schema is the JSON Schema of
	// such a file.
	Catalog rollout.Catalog
	Schema  func() ([]byte, error)
	// ScenarioSchema is that of a file of scenarios.
	ScenarioSchema func() ([]byte, error)
	// StateDir is the folder where state lives.
	StateDir func() (string, error)
	// ReadOnly opens what the state folder holds; the caller calls done. The
	// error wraps fs.ErrNotExist when there is no state yet.
	ReadOnly func(ctx context.Context, state string) (b server.Backend, done func() error, err error)
	// Run carries out one run and returns it when it has ended, or, with Keep,
	// when ctx ends. A ctx that ends before rolls the run back.
	Run func(ctx context.Context, o RunOptions) (RunEnd, error)
	// Serve is the daemon; it returns when ctx ends.
	Serve func(ctx context.Context, o ServeOptions) error
	// Controller carries the rollouts of a cluster; it returns when ctx ends.
	Controller func(ctx context.Context, o ControllerOptions) error
	// Demo shows both outcomes on sample programs.
	Demo func(ctx context.Context, o DemoOptions) error
	// Shop is the demo's sample program; it returns its exit code.
	Shop func(args []string, stderr io.Writer) int
	// Recorded opens what a Prometheus has recorded of a rollout.
	Recorded func(r rollout.Rollout, o RecordedOptions) (Recording, error)
	// Unmakeable says which weights of a rollout so many instances of stable
	// cannot make; 0: nobody knows how many there are.
	Unmakeable func(r rollout.Rollout, stable int) []rollout.Problem
	// Claims returns what says which addresses of a rollout another one, that it was
	// told of before, listens on.
	Claims func() func(file string, r rollout.Rollout) []rollout.Problem
	// Instances is how many instances of stable a rollout's file names; 0 when
	// it does not say.
	Instances func(r rollout.Rollout) int
	// Cluster is what commands that act on a cluster need.
	Cluster Cluster
	// Code returns the exit code that an error of the program's modes stands
	// for, 0 when it does not know.
	Code func(error) int
}

// RecordedOptions say where recorded series are, and what a rollout's queries
// speak of that its file does not say.
type RecordedOptions struct {
	// URL is the address of Prometheus; empty: the file's.
	URL string
	// Versions and ReplicaSets are the arms', where not the file's.
	Versions, ReplicaSets map[rollout.Arm]string
}

// Recording is what a Prometheus has recorded of a rollout.
type Recording interface {
	// Collect returns what both arms did from since, or the end of the call
	// before, to now.
	Collect(ctx context.Context, since, now time.Time) (rollout.Arms, error)
	// History is what stable's instances used in the hour up to now, a figure a
	// tick; nil where nothing is known.
	History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error)
	// Usual is what the service is usually like, and over how long that was.
	Usual(ctx context.Context) (simulate.Traffic, time.Duration, error)
	// Versions evaluates an expression that has a series for each version at
	// every step of a past time; label is what the versions are told apart by.
	Versions(ctx context.Context, expression string, w backtest.Window, step time.Duration) (versions []backtest.Version, label string, err error)
	Close() error
}

// Recorder makes a Program's Recorded of whatever opens recordings.
func Recorder[R Recording](open func(r rollout.Rollout, url string, versions, replicaSets map[rollout.Arm]string) (R, error)) func(rollout.Rollout, RecordedOptions) (Recording, error) {
	return func(r rollout.Rollout, o RecordedOptions) (Recording, error) {
		return open(r, o.URL, o.Versions, o.ReplicaSets)
	}
}

// ControllerOptions are what `serin controller` was asked for.
type ControllerOptions struct {
	// Target is the cluster; its namespace does not count.
	Target kube.Target
	// Namespaces are the ones that are looked at; empty: all.
	Namespaces []string
	// LeaderElection lets several controllers stand by; they agree in Namespace.
	LeaderElection bool
	Namespace      string
	// Pod is the pod that this runs in, if any.
	Pod string
	// MetricsAddress and HealthAddress are listened on; "0": not at all.
	MetricsAddress, HealthAddress string
	// Archive is the folder for what is kept of ended runs; empty: in the state
	// folder.
	Archive string
	// Prometheus is the address of the Prometheus that is asked by default, and
	// Preset whose counters it has.
	Prometheus, Preset string
	// HoldAlways keeps Deployments paused between runs.
	HoldAlways bool
	// Keep is how many ended runs a rollout keeps.
	Keep   int
	Logger *slog.Logger
}

// RunOptions are what `serin run` was asked for.
type RunOptions struct {
	State  string
	File   string
	Actor  string
	Logger *slog.Logger
	// Keep goes on serving the winner after the run.
	Keep bool
	// WaitTimeout bounds the run; 0: no bound.
	WaitTimeout time.Duration
	// Unattended gives up a run that waits for a person nobody announced.
	Unattended bool
	// Begun is called once the run goes on and its API answers at the rollout's
	// socket; Ended once it has ended and before the API stops answering.
	Begun func(run store.Run, listen string, resumed bool)
	Ended func(run store.Run)
}

// RunEnd is how a run in the foreground ended.
type RunEnd struct {
	Run store.Run
	// Waited: the run was given up while it waited for a person.
	Waited bool
}

// ServeOptions are what `serin serve` was asked for.
type ServeOptions struct {
	State  string
	Dir    string
	Logger *slog.Logger
	// Ready is called once everything serves, with every rollout's address.
	Ready func(listen map[string]string)
	// Reload receives a value when a successor is to take over, with the files
	// as they are then.
	Reload <-chan os.Signal
}

// DemoOptions are what `serin demo` was asked for.
type DemoOptions struct {
	Out             io.Writer
	Terminal, Color bool
	// Size is the terminal's.
	Size func() (width, height int)
	// Dir is where everything is left; empty: a new folder.
	Dir string
	// Seed is the seed of chance; 0: a new one.
	Seed uint64
	// Stay goes on serving after the story.
	Stay bool
}
