package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/controller"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/report"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/traffic"
)

// cluster is what the controller drives: the rollouts of a cluster, their
// adapters, their runs' store and archive.
type cluster struct {
	opts      ControllerOptions
	mgr       ctrl.Manager
	clientset kubernetes.Interface
	telemetry *telemetry
	events    *builtin.Events
	crowd     builtin.Crowd

	mu     sync.Mutex
	stores map[string]*crd.Store // by namespace
	outbox runner.Waker
}

var _ controller.Program = (*cluster)(nil)

func newCluster(o ControllerOptions, mgr ctrl.Manager, clientset kubernetes.Interface) *cluster {
	return &cluster{opts: o, mgr: mgr, clientset: clientset, telemetry: newTelemetry(metrics.Registry), events: builtin.NewEvents(mgr.GetCache()), stores: map[string]*crd.Store{}, outbox: runner.NewWaker()}
}

// env is what the adapters of a rollout need to know.
func (c *cluster) env(r rollout.Rollout) builtin.ClusterEnv {
	return builtin.ClusterEnv{
		Env: kube.Env{
			Client: kube.Fresh(c.mgr.GetClient(), c.mgr.GetAPIReader()), Live: c.mgr.GetAPIReader(),
			Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name, Logger: c.opts.Logger,
		},
		Pods: c.clientset.CoreV1(), Events: c.events, Crowd: &c.crowd, HoldAlways: c.opts.HoldAlways,
		Prometheus: c.opts.Prometheus, Preset: c.opts.Preset,
	}
}

// Asked implements controller.Program.
func (c *cluster) Asked(ctx context.Context, r rollout.Rollout) (controller.Asked, error) {
	at, err := builtin.Inspect(ctx, r, c.env(r))
	if err != nil {
		return controller.Asked{}, err
	}
	return controller.Asked{
		Stable: controller.Revision(at.Stable), Canary: controller.Revision(at.Canary),
		Held: at.Held, Why: at.Why, Do: at.Do, PausedBy: at.PausedBy, Actor: at.ChangedBy,
	}, nil
}

// Attach implements controller.Program.
func (c *cluster) Attach(ctx context.Context, r rollout.Rollout) error {
	if err := builtin.Attach(ctx, r, c.env(r)); err != nil {
		return err
	}
	held, err := builtin.DetachOthers(ctx, r, c.env(r))
	c.tellHeld(r, held)
	return err
}

// Detach implements controller.Program.
func (c *cluster) Detach(ctx context.Context, name types.NamespacedName) error {
	var r rollout.Rollout
	r.Metadata.Namespace, r.Metadata.Name = name.Namespace, name.Name
	held, err := builtin.Detach(ctx, c.env(r))
	c.tellHeld(r, held)
	return err
}

// tellHeld tells of Deployments that are their owner's again and stay paused.
func (c *cluster) tellHeld(r rollout.Rollout, held []string) {
	for _, name := range held {
		c.opts.Logger.Warn("the Deployment asks for a version that does not serve and stays paused; put the old template back, or let it go on with kubectl rollout resume",
			"namespace", r.Metadata.Namespace, "rollout", r.Metadata.Name, "deployment", name)
	}
}

// LetGo implements controller.Program.
func (c *cluster) LetGo(ctx context.Context, r rollout.Rollout) error {
	router, err := builtin.NewClusterRouter(r, c.env(r))
	if err == nil {
		if err = router.Rest(ctx); err != nil && !builtin.OnlyRefused(err) {
			return err
		}
	}
	if err != nil {
		c.opts.Logger.Warn("the routes cannot be put to rest and stay as they are", "namespace", r.Metadata.Namespace, "rollout", r.Metadata.Name, "error", err)
	}
	return nil
}

// Finish implements controller.Program.
func (c *cluster) Finish(ctx context.Context, name types.NamespacedName) (bool, error) {
	run, err := c.store(name.Namespace).Load(ctx, name.Name)
	if err != nil {
		return false, err
	}
	env := c.env(run.Spec)
	if err := c.pin(ctx, &env, run, name); err != nil {
		return false, err
	}
	return builtin.Finish(ctx, run.Spec, env)
}

// Release implements controller.Program.
func (c *cluster) Release(ctx context.Context, r rollout.Rollout) error {
	return builtin.Release(ctx, r, c.env(r))
}

// Rest implements controller.Program.
func (c *cluster) Rest(ctx context.Context, r rollout.Rollout) error {
	router, err := builtin.NewClusterRouter(r, c.env(r))
	if err != nil {
		return err
	}
	errPrepare, errRest := router.Prepare(ctx), router.Rest(ctx)
	if errPrepare != nil {
		return errPrepare // what keeps it from being prepared keeps it from rest too
	}
	return errors.Join(errRest, builtin.CheckBaseline(r), builtin.CheckWeights(ctx, r, c.env(r)), builtin.CheckMetrics(r, c.env(r)))
}

// Begin implements controller.Program. The arms are held to their groups of
// instances first, so that no instance of the canary can be reached before the
// run says so.
func (c *cluster) Begin(ctx context.Context, r rollout.Rollout, a controller.Asked) error {
	router, err := builtin.NewClusterRouter(r, c.env(r))
	if err != nil {
		return err
	}
	if err := errors.Join(builtin.CheckBaseline(r), builtin.CheckWeights(ctx, r, c.env(r)), builtin.CheckMetrics(r, c.env(r))); err != nil {
		return err
	}
	if err := router.Prepare(ctx); err != nil {
		return fmt.Errorf("prepare the routes: %w", err)
	}
	if err := router.Apply(ctx, traffic.Split{StableID: a.Stable.Hash, CanaryID: a.Canary.Hash}); err != nil {
		return fmt.Errorf("prepare the routes: %w", err)
	}
	candidate, err := json.Marshal(kube.Revisions{Stable: serinv1.Revision(a.Stable), Canary: serinv1.Revision(a.Canary)})
	if err != nil {
		return fmt.Errorf("write the candidate: %w", err)
	}
	now := time.Now().UTC().Round(0)
	run := store.Run{
		Rollout: r.Metadata.Name, Spec: r, Plan: engine.PlanOf(r.Spec),
		StableVersion: a.Stable.Version, CanaryVersion: a.Canary.Version, Candidate: candidate,
		Actor: a.Actor, StartedAt: now,
	}
	run.State = engine.Start(run.Plan)
	st := c.store(r.Metadata.Namespace)
	if run.ID, err = st.Next(ctx, r.Metadata.Name); err != nil {
		return err
	}
	lines, messages, err := beginning(run, now)
	if err != nil {
		return err
	}
	if err := st.Create(ctx, run, lines, messages); err != nil {
		return fmt.Errorf("create the run: %w", err)
	}
	c.outbox.Wake()
	return nil
}

// store returns the store of a namespace's runs.
func (c *cluster) store(namespace string) *crd.Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	st, ok := c.stores[namespace]
	if !ok {
		st = crd.New(crd.Options{Client: c.mgr.GetClient(), Live: c.mgr.GetAPIReader(), Namespace: namespace})
		c.stores[namespace] = st
		c.outbox.Wake() // what a controller before this one left is to be delivered
	}
	return st
}

// RollBack implements controller.Program.
func (c *cluster) RollBack(ctx context.Context, run types.NamespacedName, reason string) error {
	err := c.store(run.Namespace).AddIntent(ctx, run.Name, rollout.Intent{
		ID: "serin-" + string(rollout.Rollback), Kind: rollout.Rollback, At: time.Now().UTC(), Actor: record.Serin, Reason: reason,
	})
	if errors.Is(err, store.ErrEnded) {
		return nil
	}
	return err
}

// Prune implements controller.Program.
func (c *cluster) Prune(ctx context.Context, r rollout.Rollout) error {
	err := c.store(r.Metadata.Namespace).Prune(ctx, r.Metadata.Name, c.opts.Keep)
	return err
}

// Carry implements controller.Program.
func (c *cluster) Carry(ctx context.Context, name types.NamespacedName, wake runner.Waker, after func(runner.Look, error)) error {
	st := c.store(name.Namespace)
	run, err := st.Load(ctx, name.Name)
	if err != nil {
		return err
	}
	env := c.env(run.Spec)
	if err := c.pin(ctx, &env, run, name); err != nil {
		return err
	}
	parts, err := builtin.NewCluster(run.Spec, env)
	if err != nil {
		return err
	}
	defer func() {
		if err := parts.Close(); err != nil {
			c.opts.Logger.Warn("the adapters could not be closed", "run", run.ID, "error", err)
		}
	}()
	ar, err := builtin.NewArchive(rollout.Adapter{}, filepath.Join(c.opts.Archive, name.Namespace))
	if err != nil {
		return err
	}
	keep := keeper{store: st, archive: evidenced{ar, st}, workload: parts.Workload, changes: revisionChanges}
	log := c.opts.Logger
	ports := runner.Ports{Store: st, Router: parts.Router, Workload: parts.Workload, Metrics: parts.Metrics}
	r, done := newRunner(run, "/", keep, ports, runner.Options{Logger: log, Wake: wake.Wake, Link: func(store.Run) string { return "serin report " + run.Rollout }})
	defer done()
	err = r.Loop(ctx, wake, parts.Changed(), func(look runner.Look, err error) {
		c.outbox.Wake()
		c.telemetry.looked(name.Namespace, look, time.Now(), err)
		after(look, err)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := chronicleEnded(ctx, st, ar, run.ID); err != nil {
		log.Warn("the run could not be archived; it is tried again", "run", run.ID, "error", err)
	}
	return nil
}

// Archive implements controller.Program.
func (c *cluster) Archive(ctx context.Context, name types.NamespacedName) error {
	var obj serinv1.CanaryRun
	if err := c.mgr.GetClient().Get(ctx, name, &obj); err != nil {
		return client.IgnoreNotFound(err)
	}
	if obj.Status.Archived || !crd.Finished(&obj) {
		return nil
	}
	ar, err := builtin.NewArchive(rollout.Adapter{}, filepath.Join(c.opts.Archive, name.Namespace))
	if err != nil {
		return err
	}
	return chronicleEnded(ctx, c.store(name.Namespace), ar, name.Name)
}

func chronicleEnded(ctx context.Context, st store.Store, ar archive.Archive, run string) error {
	ended, err := st.Load(ctx, run)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load the ended run: %w", err)
	}
	return Chronicle(ctx, st, ar, ended)
}

// pin completes what the adapters know by the run they are for.
func (c *cluster) pin(ctx context.Context, env *builtin.ClusterEnv, run store.Run, name types.NamespacedName) error {
	var revisions kube.Revisions
	if err := json.Unmarshal(run.Candidate, &revisions); err != nil {
		return fmt.Errorf("read the revisions of %s: %w", run.ID, err)
	}
	var obj serinv1.CanaryRun
	if err := c.mgr.GetClient().Get(ctx, name, &obj); err != nil {
		return fmt.Errorf("read the run: %w", err)
	}
	env.Run, env.RunUID = obj.Name, obj.UID
	env.Stable, env.Canary = revisions.Stable, revisions.Canary
	return nil
}

// revisionChanges says what differs between two revisions.
func revisionChanges(run store.Run) []report.Change {
	changes := []report.Change{{What: "version", Stable: run.StableVersion, Canary: run.CanaryVersion}}
	var revisions kube.Revisions
	if json.Unmarshal(run.Candidate, &revisions) == nil {
		changes = append(changes, report.Change{What: "pod template", Stable: revisions.Stable.Hash, Canary: revisions.Canary.Hash})
	}
	return changes
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: messages are
// the leader's to deliver.
func (c *cluster) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable: it delivers the outbox until ctx ends.
func (c *cluster) Start(ctx context.Context) error {
	var couriers sync.WaitGroup
	defer couriers.Wait()
	begun := map[string]bool{}
	for {
		c.mu.Lock()
		for namespace, st := range c.stores {
			if !begun[namespace] {
				begun[namespace] = true
				courier := &runner.Courier{Store: st, Receiver: c.receiver(st), Logger: c.opts.Logger, Now: time.Now}
				couriers.Go(func() { courier.Run(ctx, runner.NewWaker()) })
			}
		}
		c.mu.Unlock()
		select {
		case <-c.outbox:
		case <-ctx.Done():
			return nil
		}
	}
}

// receiver finds a rollout's receivers by its latest run, which pinned them.
func (c *cluster) receiver(st store.Store) func(rolloutName, name string) (notify.Notifier, error) {
	return func(rolloutName, name string) (notify.Notifier, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		runs, err := st.Runs(ctx, rolloutName, 1)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			for i, n := range run.Spec.Spec.Notify {
				if runner.ReceiverName(n, i) == name {
					return builtin.NewNotifier(n, c.opts.Logger)
				}
			}
		}
		return nil, fmt.Errorf("%s has no receiver %q any more: %w", rolloutName, name, notify.ErrRejected)
	}
}
