package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/workload"
)

// clusterView is a cluster as a person sees it with their own credentials: the
// API's backend for commands that read and ask, where nothing of Serin's has to
// be reached but the API server.
type clusterView struct {
	connection *kube.Connection
	client     client.Client
	clientset  kubernetes.Interface
	store      *crd.Store
}

var _ server.Backend = (*clusterView)(nil)

// Cluster opens a cluster for a person.
func Cluster(connection *kube.Connection) (server.Backend, error) { return openCluster(connection) }

// Revert makes a rollout's Deployment ask for what serves, and says so.
func Revert(ctx context.Context, connection *kube.Connection, name string) (string, error) {
	v, err := openCluster(connection)
	if err != nil {
		return "", err
	}
	return v.revert(ctx, name)
}

// Restart has new pods of what serves released, and says which run does.
func Restart(ctx context.Context, connection *kube.Connection, name string) (string, error) {
	v, err := openCluster(connection)
	if err != nil {
		return "", err
	}
	return v.restart(ctx, name)
}

func openCluster(connection *kube.Connection) (*clusterView, error) {
	c, err := connection.Client()
	if err != nil {
		return nil, err
	}
	clientset, err := kubernetes.NewForConfig(connection.Config)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", connection.Server, err)
	}
	return &clusterView{
		connection: connection, client: c, clientset: clientset,
		store: crd.New(crd.Options{Client: c, Namespace: connection.Namespace}),
	}, nil
}

func (v *clusterView) Store() store.Store       { return v.store }
func (v *clusterView) Archive() archive.Archive { return recordArchive{v.store} }

// explain says what a person can do about an error of a request, and makes it one
// that the API tells apart: an exit code hangs on it.
func (v *clusterView) explain(err error) error {
	err = v.connection.Explain(err)
	switch {
	case errors.Is(err, kube.ErrUnreachable), meta.IsNoMatchError(err):
		return kindred{err, store.ErrUnavailable}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return kindred{err, store.ErrForbidden}
	case apierrors.IsInvalid(err):
		return kindred{err, server.ErrMisconfigured}
	}
	return err
}

// kindred is an error that is of a kind besides, which its text does not say.
type kindred struct {
	error
	kind error
}

func (k kindred) Unwrap() []error { return []error{k.error, k.kind} }

// Rollouts implements server.Backend.
func (v *clusterView) Rollouts(ctx context.Context) ([]server.Rollout, error) {
	var list serinv1.CanaryRolloutList
	if err := v.client.List(ctx, &list, client.InNamespace(v.connection.Namespace)); err != nil {
		return nil, v.explain(fmt.Errorf("list the rollouts of %s: %w", v.connection.Namespace, err))
	}
	out := []server.Rollout{}
	for i := range list.Items {
		r, err := v.rollout(ctx, &list.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Rollout implements server.Backend.
func (v *clusterView) Rollout(ctx context.Context, name string) (server.Rollout, error) {
	obj, err := v.object(ctx, name)
	if err != nil {
		return server.Rollout{}, err
	}
	return v.rollout(ctx, obj)
}

func (v *clusterView) rollout(ctx context.Context, obj *serinv1.CanaryRollout) (server.Rollout, error) {
	s := obj.Status
	out := server.Rollout{Name: obj.Name, Weight: int(s.Weight)}
	if s.Stable != nil {
		out.Serving = s.Stable.Version
		out.Stable.Version = s.Stable.Version
	}
	run, err := v.store.Active(ctx, obj.Name)
	switch {
	case err == nil:
		out.Run = run.ID
		out.Stable.Version, out.Canary.Version = run.StableVersion, run.CanaryVersion
		if out.Serving == "" {
			out.Serving = run.StableVersion
		}
	case !errors.Is(err, store.ErrNotFound):
		return out, v.explain(err)
	}
	if c := meta.FindStatusCondition(s.Conditions, "Stalled"); c != nil {
		out.Problem = c.Message
	} else if c := meta.FindStatusCondition(s.Conditions, "Ready"); c != nil && c.Status == "False" && out.Run == "" {
		out.Problem = c.Message
	}
	if s.ObservedGeneration == 0 {
		out.Problem = "the controller has not looked at it yet; `serin doctor` says whether one is there"
	}
	v.countPods(ctx, obj, &out)
	v.asides(ctx, obj, &out)
	return out, nil
}

// asides says which requests go past the split, or why that is not known: who may
// edit a namespace need not be allowed to read its routes. A rollout with a mistake
// has a problem that says so.
func (v *clusterView) asides(ctx context.Context, obj *serinv1.CanaryRollout, out *server.Rollout) {
	r, err := rolloutOf(obj, nil)
	if err != nil {
		return
	}
	asides, err := ClusterAsides(v.client)(ctx, r)
	out.Asides = inWords(asides)
	var refused apierrors.APIStatus
	switch {
	case apierrors.IsForbidden(err) && errors.As(err, &refused):
		out.AsidesUnknown = "may not be read: " + refused.Status().Message + "; ask for the permission, or ask who has it"
	case err != nil:
		why, _, _ := strings.Cut(err.Error(), "\n")
		out.AsidesUnknown = "cannot be read: " + why
	}
}

// countPods counts the arms' instances; what cannot be read is left out.
func (v *clusterView) countPods(ctx context.Context, obj *serinv1.CanaryRollout, out *server.Rollout) {
	stable, canary := v.revisions(ctx, obj, out.Run)
	for _, arm := range []struct {
		revision serinv1.Revision
		into     *server.Readiness
	}{{stable, &out.Stable}, {canary, &out.Canary}} {
		if arm.revision.Hash == "" {
			continue
		}
		n, ready, err := kube.CountPods(ctx, v.client, obj.Namespace, arm.revision.Hash)
		if err == nil {
			arm.into.Instances, arm.into.Ready = n, ready
		}
	}
}

func (v *clusterView) revisions(ctx context.Context, obj *serinv1.CanaryRollout, run string) (stable, canary serinv1.Revision) {
	if run != "" {
		var o serinv1.CanaryRun
		if v.client.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: run}, &o) == nil {
			return o.Spec.Stable, o.Spec.Canary
		}
	}
	if obj.Status.Stable != nil {
		stable = *obj.Status.Stable
	}
	return stable, canary
}

// Release implements server.Backend: a version is an image's tag here, and the
// run begins when the Deployment asks for it.
func (v *clusterView) Release(ctx context.Context, name string, c server.Candidate) (store.Run, error) {
	r, err := v.find(ctx, name)
	if err != nil {
		return store.Run{}, err
	}
	if len(c.Command) > 0 {
		return store.Run{}, fmt.Errorf("on a cluster a version is an image's tag, and the Deployment says how it is started; leave the command out: %w", server.ErrRefusedCandidate)
	}
	if err := v.mustRest(ctx, name); err != nil {
		return store.Run{}, err
	}
	before, err := v.store.Runs(ctx, name, 1)
	if err != nil {
		return store.Run{}, v.explain(err)
	}
	if err := v.ask(ctx, r, c.Version, before); err != nil {
		return store.Run{}, v.explain(err)
	}
	return v.begun(ctx, name, before)
}

// mustRest wraps store.ErrActive when a rollout has a run that goes on.
func (v *clusterView) mustRest(ctx context.Context, name string) error {
	active, err := v.store.Active(ctx, name)
	switch {
	case err == nil:
		return fmt.Errorf("%s has the run %s to %s, which has not ended; wait for it, or roll it back with \"serin rollback %s\": %w",
			name, active.ID, active.CanaryVersion, name, store.ErrActive)
	case !errors.Is(err, store.ErrNotFound):
		return v.explain(err)
	}
	return nil
}

// beginTime is how long a run may take to begin once the Deployment asks for
// another version.
const beginTime = 30 * time.Second

// begun waits for the run that the controller begins.
func (v *clusterView) begun(ctx context.Context, name string, before []store.Run) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, beginTime)
	defer cancel()
	for {
		runs, err := v.store.Runs(ctx, name, 1)
		if err == nil && len(runs) == 1 && (len(before) == 0 || runs[0].ID != before[0].ID) {
			return v.store.Load(ctx, runs[0].ID)
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return store.Run{}, fmt.Errorf("no run of %s has begun in %s; `serin get %s` and `serin doctor` say why: %w", name, beginTime, name, server.ErrNotRunning)
		}
	}
}

// ask makes the Deployment ask for a version, or has a rejected one tried
// again.
func (v *clusterView) ask(ctx context.Context, r rollout.Rollout, version string, before []store.Run) error {
	env := builtin.ClusterEnv{Env: kube.Env{Client: v.client, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name}}
	at, err := builtin.Inspect(ctx, r, env)
	if err != nil {
		return err
	}
	switch {
	case !at.Changed() && at.Stable.Version == version:
		return fmt.Errorf("%s serves %s already: %w", r.Metadata.Name, version, server.ErrNothingToDo)
	case at.Changed() && at.Canary.Version == version && len(before) == 1:
		return kube.Retry(ctx, v.client, r.Metadata.Namespace, r.Metadata.Name, before[0].ID)
	}
	deployment, err := builtin.DeploymentName(r)
	if err != nil {
		return err
	}
	return kube.SetTag(ctx, v.client, client.ObjectKey{Namespace: r.Metadata.Namespace, Name: deployment}, version)
}

// revert puts the template that serves back into a rollout's Deployment.
func (v *clusterView) revert(ctx context.Context, name string) (string, error) {
	r, err := v.find(ctx, name)
	if err != nil {
		return "", err
	}
	env := builtin.ClusterEnv{Env: kube.Env{Client: v.client, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name}}
	at, err := builtin.Inspect(ctx, r, env)
	if err != nil {
		return "", v.explain(err)
	}
	if !at.Changed() {
		return fmt.Sprintf("%s asks for %s, which serves: nothing to revert", name, at.Stable.Version), nil
	}
	serves, err := builtin.Revert(ctx, r, env)
	if err != nil {
		return "", v.explain(err)
	}
	return fmt.Sprintf("%s asks for %s again, which serves; %s is not asked for any more", name, serves.Version, at.Canary.Version), nil
}

// restart makes a rollout's Deployment ask for new pods of what serves, and waits
// for the run that releases them.
func (v *clusterView) restart(ctx context.Context, name string) (string, error) {
	r, err := v.find(ctx, name)
	if err != nil {
		return "", err
	}
	if err := v.mustRest(ctx, name); err != nil {
		return "", err
	}
	env := builtin.ClusterEnv{Env: kube.Env{Client: v.client, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name}}
	at, err := builtin.Inspect(ctx, r, env)
	if err != nil {
		return "", v.explain(err)
	}
	switch {
	case at.Changed():
		return "", fmt.Errorf("%s asks for %s, which does not serve: a restart would be one of that; put %s back first (serin revert %s): %w",
			name, at.Canary.Version, at.Stable.Version, name, server.ErrRefusedCandidate)
	case at.PausedBy != "":
		return "", fmt.Errorf("the Deployment of %s is paused by %s: no run begins until it is resumed (kubectl rollout resume): %w", name, at.PausedBy, server.ErrRefusedCandidate)
	case at.Why != "":
		return "", fmt.Errorf("%s cannot be restarted: %s; %s: %w", name, at.Why, at.Do, server.ErrRefusedCandidate)
	}
	before, err := v.store.Runs(ctx, name, 1)
	if err != nil {
		return "", v.explain(err)
	}
	if err := builtin.Restart(ctx, r, env); err != nil {
		if errors.Is(err, workload.ErrRefused) { // somebody asked for a version meanwhile
			err = kindred{err, server.ErrRefusedCandidate}
		}
		return "", v.explain(err)
	}
	run, err := v.begun(ctx, name, before)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: run %d (%s) releases new pods of %s like any version; serin promote %s --full ends every phase without waiting", name, run.Number, run.ID, at.Stable.Version, name), nil
}

// object reads a rollout as it is, mistakes and all.
func (v *clusterView) object(ctx context.Context, name string) (*serinv1.CanaryRollout, error) {
	obj := &serinv1.CanaryRollout{}
	err := v.client.Get(ctx, client.ObjectKey{Namespace: v.connection.Namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%q is not one of the rollouts in namespace %s: %w", name, v.connection.Namespace, server.ErrUnknownRollout)
	}
	if err != nil {
		return nil, v.explain(err)
	}
	return obj, nil
}

func (v *clusterView) find(ctx context.Context, name string) (rollout.Rollout, error) {
	obj, err := v.object(ctx, name)
	if err != nil {
		return rollout.Rollout{}, err
	}
	r, problems, err := ClusterParser()(obj)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%s: %s %s; %s: %w", name, problems[0].Field, problems[0].Message, problems[0].Mend, ErrConfig)
		err = kindred{err, server.ErrMisconfigured}
	}
	return r, err
}

// Owns implements server.Backend: the controller answers intents. That there is
// one is what `serin doctor` looks at. A run goes by what it pinned, so a mistake
// in the rollout since keeps nobody from rolling it back.
func (v *clusterView) Owns(name string) error {
	_, err := v.object(context.Background(), name)
	return err
}

// Wake implements server.Backend; the controller watches.
func (v *clusterView) Wake(string) {}

// Watch implements server.Backend; who waits looks again by itself.
func (v *clusterView) Watch(string) (<-chan struct{}, func()) { return nil, func() {} }

// Glance implements server.Backend.
func (v *clusterView) Glance() time.Duration { return time.Second }

// Live implements server.Backend: the record tells it.
func (v *clusterView) Live(string) (server.Live, bool) { return server.Live{}, false }

// Logs implements server.Backend.
func (v *clusterView) Logs(ctx context.Context, name string, arm rollout.Arm, follow bool, w io.Writer) error {
	obj, err := v.object(ctx, name)
	if err != nil {
		return err
	}
	run := ""
	if active, err := v.store.Active(ctx, name); err == nil {
		run = active.ID
	}
	stable, canary := v.revisions(ctx, obj, run)
	revision := canary
	if arm == rollout.Stable {
		revision = stable
	}
	if revision.Hash == "" {
		return fmt.Errorf("%s has no %s pods now", name, arm)
	}
	return v.explain(kube.Logs(ctx, v.clientset, obj.Namespace, revision.Hash, follow, w))
}
