package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// rolloutFinalizer keeps a rollout until its run has gone back and its
// Deployment is its owner's alone.
const rolloutFinalizer = serinv1.RolloutLabel

// Reconcile implements reconcile.Reconciler: one look at one rollout. What it
// finds is written to the status in one place, here.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var obj serinv1.CanaryRollout
	if err := c.Client.Get(ctx, req.NamespacedName, &obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	v := view{object: &obj}
	err := c.look(ctx, &v)
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, err // the object was not the latest; the next look has it
	}
	if err != nil && !errors.Is(err, errSaid) {
		v.trouble("Trouble", err.Error(), "Serin goes on trying")
	}
	if !v.gone {
		err = errors.Join(ignoreSaid(err), c.report(ctx, &v))
	}
	switch {
	case err == nil && v.uncarried:
		return ctrl.Result{RequeueAfter: finishPause}, nil
	case err == nil && v.unfinished && v.run == nil:
		return ctrl.Result{RequeueAfter: finishPause}, nil
	case err == nil && (v.stalled != nil && v.run == nil || v.unarchived):
		return ctrl.Result{RequeueAfter: again(v.object, time.Now())}, nil
	}
	return ctrl.Result{}, ignoreSaid(err)
}

// again is when a rollout that cannot go on is looked at again. What is wrong with
// it first is often under way: a gateway has yet to see a Service that was made a
// moment ago, or the next object that somebody applies is the mend.
func again(r *serinv1.CanaryRollout, now time.Time) time.Duration {
	c := meta.FindStatusCondition(r.Status.Conditions, condStalled)
	if c != nil && now.Sub(c.LastTransitionTime.Time) < retryPause {
		return retrySoon
	}
	return retryPause
}

// errSaid: the view says what is wrong; trying again at once does not help.
var errSaid = errors.New("said in the status")

func ignoreSaid(err error) error {
	if errors.Is(err, errSaid) {
		return nil
	}
	return err
}

// view is what one look at a rollout finds.
type view struct {
	object  *serinv1.CanaryRollout
	rollout rollout.Rollout
	// valid: the spec has no mistakes.
	valid bool
	asked Asked
	// run is the run that goes on, latest the newest of all.
	run, latest *serinv1.CanaryRun
	stands      standing
	// ended are the runs that have ended.
	ended []*serinv1.CanaryRun
	// unfinished: the latest run's promotion is not at its end; nothing else may
	// touch the workload or the routes.
	unfinished bool
	// unarchived: a run has ended and could not be archived yet.
	unarchived bool
	// uncarried: nobody carries the run, as this program does not lead yet.
	uncarried bool
	// rejected: the latest run rolled back what is asked for.
	rejected bool
	// stalled says why nothing goes on, if nothing does.
	stalled *problem
	// gone: the object is being deleted and let go of.
	gone bool
}

// problem is a stable reason, what is wrong, and what to do about it.
type problem struct{ reason, message, do string }

func (v *view) trouble(reason, message, do string) { v.stalled = &problem{reason, message, do} }

// look finds out how the rollout is and moves it on: a run that goes on is
// carried first, whatever else is wrong.
func (c *Controller) look(ctx context.Context, v *view) error {
	key := client.ObjectKeyFromObject(v.object)
	if err := c.findRuns(ctx, v); err != nil {
		return err
	}
	if v.run != nil {
		v.uncarried = !c.runs.ensure(key, v.run.Name)
		v.stands = c.runs.standing(key, v.run.Name)
	}
	if err := c.rollBackDeleted(ctx, v); err != nil {
		return err
	}
	r, problems, errParse := c.Parse(v.object)
	v.rollout, v.valid = r, errParse == nil && len(problems) == 0
	if err := c.finishRuns(ctx, v); err != nil {
		return err
	}
	if !v.object.DeletionTimestamp.IsZero() {
		return c.leave(ctx, v)
	}
	if errParse != nil {
		return errParse
	}
	if len(problems) > 0 {
		v.trouble("Invalid", sentence(problems), "correct the spec")
		return errSaid
	}
	if controllerutil.AddFinalizer(v.object, rolloutFinalizer) {
		status := v.object.Status
		if err := c.Client.Update(ctx, v.object, client.FieldOwner(serinv1.FieldManager)); err != nil {
			return err
		}
		v.object.Status = status
	}
	if v.run != nil || v.unfinished {
		return nil
	}
	if err := c.rest(ctx, v); err != nil {
		return err
	}
	return c.Program.Prune(ctx, r)
}

// rollBackDeleted rolls the run that goes on back when it or its rollout is being
// deleted.
func (c *Controller) rollBackDeleted(ctx context.Context, v *view) error {
	why := ""
	switch {
	case v.run == nil:
		return nil
	case !v.object.DeletionTimestamp.IsZero():
		why = "the rollout was deleted"
	case !v.run.DeletionTimestamp.IsZero():
		why = "the run was deleted"
	default:
		return nil
	}
	if err := c.Program.RollBack(ctx, client.ObjectKeyFromObject(v.run), why); err != nil {
		return fmt.Errorf("roll the run back, as %s: %w", why, err)
	}
	return nil
}

// rest looks at a rollout that has no run: what is asked for either serves, was
// rejected, or is released now.
func (c *Controller) rest(ctx context.Context, v *view) error {
	if other, err := c.rival(ctx, v); err != nil {
		return err
	} else if other != "" {
		v.trouble("Duplicate", fmt.Sprintf("spec.workload.deployment.name: the CanaryRollout %s is about the Deployment %s too and was there first", other, workloadOf(v.object)), "delete one of the two")
		return errSaid
	}
	asked, err := c.Program.Asked(ctx, v.rollout)
	if err != nil {
		v.trouble("Unreadable", err.Error(), "")
		return errSaid
	}
	v.asked = asked
	if err := c.Program.Attach(ctx, v.rollout); err != nil {
		return fmt.Errorf("label the workload: %w", err)
	}
	switch {
	case asked.Why != "":
		v.trouble("NotReady", asked.Why, asked.Do)
		return errSaid
	case asked.PausedBy != "":
		v.paused()
	case !asked.Changed():
		if asked.Held {
			if err := c.Program.Release(ctx, v.rollout); err != nil {
				return fmt.Errorf("let the workload go on: %w", err)
			}
		}
	case c.wasRejected(v):
		v.rejected = true
	case asked.Held:
		return c.begin(ctx, v)
	}
	if err := c.Program.Rest(ctx, v.rollout); err != nil {
		v.trouble("Traffic", err.Error(), "")
	}
	if v.stalled != nil {
		return errSaid
	}
	return nil
}

// paused says that a person's own pause keeps everything from being released.
func (v *view) paused() {
	name := workloadOf(v.object)
	waits := "nothing is released"
	if v.asked.Changed() {
		waits = v.asked.Canary.Version + " waits"
	}
	v.trouble("Paused",
		fmt.Sprintf("Deployment %s: spec.paused was set by %s, and Serin leaves that alone: %s serves and %s", name, v.asked.PausedBy, v.asked.Stable.Version, waits),
		fmt.Sprintf("kubectl rollout resume deployment/%s lets Serin go on", name))
}

func (c *Controller) begin(ctx context.Context, v *view) error {
	err := c.Program.Begin(ctx, v.rollout, v.asked)
	if errors.Is(err, store.ErrActive) {
		return nil // the cache has not shown it yet; its event brings the next look
	}
	if err != nil {
		v.trouble("CannotBegin", err.Error(), "")
		return errSaid
	}
	c.event(v.object, "Normal", "RunBegan", fmt.Sprintf("%s is being released beside %s", v.asked.Canary.Version, v.asked.Stable.Version))
	return nil
}

// wasRejected reports that the latest run rolled back what is asked for now,
// and nobody asked for another try of it. Who asked for something else meanwhile,
// which took that run back, has not rejected anything.
func (c *Controller) wasRejected(v *view) bool {
	if v.latest != nil {
		if c := meta.FindStatusCondition(v.latest.Status.Conditions, condReady); c != nil && c.Reason == serinv1.Superseded {
			return false
		}
	}
	return v.latest != nil && v.latest.Status.Phase == string(engine.RolledBack) &&
		v.latest.Spec.Canary.Hash == v.asked.Canary.Hash &&
		v.object.Annotations[serinv1.RetryAnnotation] != v.latest.Name
}

// findRuns finds the rollout's runs, the newest first.
func (c *Controller) findRuns(ctx context.Context, v *view) error {
	var list serinv1.CanaryRunList
	if err := c.Client.List(ctx, &list, client.InNamespace(v.object.Namespace), client.MatchingLabels{serinv1.RolloutLabel: v.object.Name}); err != nil {
		return fmt.Errorf("list the runs: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b serinv1.CanaryRun) int { return cmp.Compare(b.Spec.Number, a.Spec.Number) })
	for i := range list.Items {
		run := &list.Items[i]
		if v.latest == nil {
			v.latest = run
		}
		if run.Status.EndedAt == nil {
			v.run = run
			continue
		}
		v.ended = append(v.ended, run)
	}
	return nil
}

// finishRuns lets go of the runs that have ended, and archives them.
func (c *Controller) finishRuns(ctx context.Context, v *view) error {
	for _, run := range v.ended {
		if !controllerutil.ContainsFinalizer(run, serinv1.Finalizer) {
			continue
		}
		if done, err := c.finish(ctx, v, run); err != nil {
			return err
		} else if !done {
			v.unfinished = true
			continue
		}
		if controllerutil.RemoveFinalizer(run, serinv1.Finalizer) {
			if err := c.Client.Update(ctx, run, client.FieldOwner(serinv1.FieldManager)); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	for _, run := range v.ended {
		if !run.Status.Archived {
			c.archive(ctx, v, run)
		}
	}
	return nil
}

// archive archives a run that has ended, unless its own loop is about to. Nothing
// else waits for it.
func (c *Controller) archive(ctx context.Context, v *view, run *serinv1.CanaryRun) {
	if c.runs.carries(client.ObjectKeyFromObject(run)) {
		return // the end of the loop brings another look
	}
	if err := c.Program.Archive(ctx, client.ObjectKeyFromObject(run)); err != nil {
		v.unarchived = true
		c.Logger.Warn("the run could not be archived; it is tried again", "run", run.Namespace+"/"+run.Name, "error", err)
	}
}

// finish carries a promotion to its end, and lets go of routes that the rollout
// does not name any more. Until then the run keeps its finalizer: the pods that
// serve are still its own, and would go with it.
func (c *Controller) finish(ctx context.Context, v *view, run *serinv1.CanaryRun) (done bool, err error) {
	if run.Status.Phase == string(engine.Promoted) {
		done, err = c.Program.Finish(ctx, client.ObjectKeyFromObject(run))
		if err != nil {
			return false, fmt.Errorf("finish the promotion of run %s: %w", run.Name, err)
		}
		if !done {
			return false, nil
		}
	}
	if was, ok := pinned(run); ok && v.valid && !sameAdapter(was.Spec.Traffic, v.rollout.Spec.Traffic) {
		if err := c.Program.LetGo(ctx, was); err != nil {
			return false, fmt.Errorf("let go of the routes of run %s: %w", run.Name, err)
		}
	}
	return true, nil
}

// pinned is the rollout as it was when a run of it began.
func pinned(run *serinv1.CanaryRun) (r rollout.Rollout, ok bool) {
	err := json.Unmarshal(run.Spec.Pinned.Raw, &r)
	return r, err == nil
}

func sameAdapter(a, b rollout.Adapter) bool {
	var x, y any
	return a.Kind == b.Kind && json.Unmarshal(a.Config, &x) == nil && json.Unmarshal(b.Config, &y) == nil && reflect.DeepEqual(x, y)
}

// rival returns the older rollout of the same workload, if there is one.
func (c *Controller) rival(ctx context.Context, v *view) (string, error) {
	var list serinv1.CanaryRolloutList
	if err := c.Client.List(ctx, &list, client.InNamespace(v.object.Namespace), client.MatchingFields{workloadIndex: workloadOf(v.object)}); err != nil {
		return "", fmt.Errorf("list the rollouts: %w", err)
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.Name == v.object.Name {
			continue
		}
		if before(other, v.object) {
			return other.Name, nil
		}
	}
	return "", nil
}

// before reports which of two rollouts of one workload was there first: the one
// that has been let in already, else the older. Times are whole seconds, so names
// decide between those of one.
func before(a, b *serinv1.CanaryRollout) bool {
	if in := a.Status.Stable != nil; in != (b.Status.Stable != nil) {
		return in
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

// leave lets go of a rollout that is being deleted, once its run has gone back.
func (c *Controller) leave(ctx context.Context, v *view) error {
	if v.run != nil || v.unfinished {
		return nil
	}
	// A rollout that was never in charge of its workload has nothing to give back,
	// and another's run may be going on.
	other, err := c.rival(ctx, v)
	if err != nil {
		return err
	}
	if other == "" {
		// With a mistake in the rollout its latest run says what the routes are.
		r, known := v.rollout, v.valid
		if !known && v.latest != nil {
			r, known = pinned(v.latest)
		}
		if known {
			if err := c.Program.LetGo(ctx, r); err != nil {
				return fmt.Errorf("leave the routes as they were: %w", err)
			}
		}
		if err := c.Program.Detach(ctx, client.ObjectKeyFromObject(v.object)); err != nil {
			return fmt.Errorf("leave the workload as it was: %w", err)
		}
	}
	v.gone = true
	if controllerutil.RemoveFinalizer(v.object, rolloutFinalizer) {
		return client.IgnoreNotFound(c.Client.Update(ctx, v.object, client.FieldOwner(serinv1.FieldManager)))
	}
	return nil
}

func (c *Controller) keyOfRun(run *serinv1.CanaryRun) types.NamespacedName {
	return types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.Rollout}
}
