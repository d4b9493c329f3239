// Package arms moves traffic between two groups of pods by means of two kinds
// of objects: targets, which hold each arm to a group by its pod-template-hash,
// and a route, which gives each arm a weight. It owns the order of the writes,
// which is the same for every mesh and gateway; it must not know any of their
// objects, nor phases and verdicts.
package arms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"serin.dev/serin/internal/rollout"
)

// Split is what is asked for: the weight of the canary and the group of each
// arm by its pod-template-hash. An empty hash leaves the arm where it is.
type Split struct {
	Weight         int
	Stable, Canary string
	// BaselineWeight is the weight of the baseline, and Baseline its group. It is
	// given as far as the baseline can be reached; nothing waits for it.
	BaselineWeight int
	Baseline       string
	// Promoted: the stable arm is to reach the canary's group.
	Promoted bool
}

// Observed is what is in effect.
type Observed struct {
	Known     bool
	Weight    int
	InEffect  bool
	Promoted  bool
	ChangedBy string
	// Baseline is the baseline's weight, and NoBaseline why it can have none.
	Baseline   int
	NoBaseline string
	// Revision changes with every change of the route.
	Revision string
	// Trouble says why the split is not in effect, for people.
	Trouble string
	// Asides is what reaches an arm beside the split.
	Asides []Aside
}

// Route gives the arms their weights.
type Route interface {
	// Read returns the weights as they are written now.
	Read(ctx context.Context) (Reading, error)
	// Set writes the canary's weight and the baseline's where they differ, with
	// one write. A rule that names no baseline gives its part to stable.
	Set(ctx context.Context, weight, baseline int) error
	// Check says what keeps the route from being used at all.
	Check(ctx context.Context) error
}

// Reading is a route as it is.
type Reading struct {
	// Weight is the highest weight that any rule gives to the canary, Least the
	// lowest.
	Weight, Least int
	// Trouble says why the data plane does not follow the route; empty when it
	// does.
	Trouble string
	// Revision changes with every change of the weights.
	Revision string
	// Writer is who wrote the weights last, empty when that was Serin.
	Writer string
	// Asides is what the route sends to an arm whatever the weights are.
	Asides []Aside
	// Baseline is the highest weight that any rule gives to the baseline.
	Baseline int
	// NoBaseline says which rule names no baseline although there is to be one,
	// NamesBaseline that some rule names one, also where there is to be none.
	NoBaseline    string
	NamesBaseline bool
}

// Targets hold the arms to groups of pods.
type Targets interface {
	// Held returns the group of each arm, empty while it is held to none.
	Held(ctx context.Context) (stable, canary string, err error)
	// HeldBaseline returns the group of the baseline; empty as well where there
	// can be none.
	HeldBaseline(ctx context.Context) (string, error)
	// Hold holds an arm to a group; an empty group lets it go.
	Hold(ctx context.Context, arm rollout.Arm, group string) error
	// Reach counts the endpoints of an arm that are ready, by their group.
	Reach(ctx context.Context, arm rollout.Arm) (map[string]int, error)
	// Prepare creates what is missing and may be created, the baseline's too where
	// the route names it.
	Prepare(ctx context.Context, baseline bool) error
}

// Router carries splits out over a route and its targets.
type Router struct {
	route   Route
	targets Targets
	log     *slog.Logger

	// last is the split applied last, nil before the first. It tells whose
	// change a weight is and nothing else: after a restart the objects tell.
	last *Split
	// tried is a weight whose write did not answer: it may have been made.
	tried   *int
	trouble string // as logged last
	// told is the revision of the route in which Observe last told of somebody
	// else's weight.
	told string
}

// New returns a router; log may be nil.
func New(route Route, targets Targets, log *slog.Logger) *Router {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Router{route: route, targets: targets, log: log}
}

// Apply carries a split out as far as it can go now. A raise waits for its
// endpoints: the error says so, and the next call goes on. What lowers the
// canary's weight waits for nothing.
func (r *Router) Apply(ctx context.Context, s Split) error {
	if s.Weight < 0 || s.Weight > rollout.Full {
		return Refuse("a weight of %d %% cannot be: it is 0 to 100", s.Weight)
	}
	var err error
	if s.Promoted {
		err = r.promote(ctx, s)
	} else {
		err = r.split(ctx, s)
	}
	if err == nil {
		r.last = &s
	}
	return err
}

// split is Apply for two groups.
func (r *Router) split(ctx context.Context, s Split) error {
	stable, canary, errHeld := r.targets.Held(ctx)
	// The stable arm was moved to the tested instances and comes back: before
	// the weight, or that would lead to them.
	var errBack error
	if errHeld == nil && stable != "" && s.Stable != "" && stable != s.Stable {
		if errBack = r.targets.Hold(ctx, rollout.Stable, s.Stable); errBack == nil {
			stable = s.Stable
		}
	}
	now, errRead := r.route.Read(ctx)
	if s.Weight == 0 || errRead == nil && s.Weight <= now.Least {
		first := r.last == nil && stable == "" && canary == ""
		errs := []error{errBack, r.set(ctx, s.Weight, r.compared(ctx, s, now)), errHeld}
		if errHeld == nil && first {
			errHeld = r.others(ctx, s.Stable)
			errs = append(errs, errHeld)
		}
		if errHeld == nil {
			errs = append(errs, r.hold(ctx, s, stable, canary))
		}
		return errors.Join(errs...)
	}
	if err := errors.Join(errHeld, errBack, errRead, r.route.Check(ctx)); err != nil {
		return err
	}
	// Whoever asks for the weight does not know of this one yet.
	if who := r.changedBy(now); who != "" && now.Revision != r.told {
		return fmt.Errorf("%s set the weight to %d %% a moment ago; it is looked at again before it is raised", who, now.Weight)
	}
	if err := r.hold(ctx, s, stable, canary); err != nil {
		return err
	}
	stable, canary = cmp.Or(s.Stable, stable), cmp.Or(s.Canary, canary)
	if canary == "" || canary == stable {
		return fmt.Errorf("the weight stays at %d %%: which pods the canary is, is not known yet", now.Weight)
	}
	if err := r.reaches(ctx, rollout.Stable, stable, 1); err != nil {
		return fmt.Errorf("the weight stays at %d %%: %w", now.Weight, err)
	}
	if err := r.reaches(ctx, rollout.Canary, canary, 1); err != nil {
		return fmt.Errorf("the weight stays at %d %%: %w", now.Weight, err)
	}
	return r.set(ctx, s.Weight, r.compared(ctx, s, now))
}

// others refuses the first hold of a stable arm that reaches pods, and none of the
// group that it is to be held to: it leads to somebody else's, whose users would
// find nobody then. While anything is held, a run goes on, and the way back is
// asked nothing.
func (r *Router) others(ctx context.Context, group string) error {
	if group == "" {
		return nil
	}
	reach, err := r.targets.Reach(ctx, rollout.Stable)
	switch {
	case apierrors.IsNotFound(err):
		return nil // an arm that is not there yet is made
	case err != nil:
		return err
	case reach[group] > 0:
		return nil
	}
	for _, n := range reach {
		if n > 0 {
			return Refuse("the stable arm stays as it is: it reaches %d pods, and none of those that serve, with %s; compare its Service's selector with the labels of the Deployment's pods", n, named(group))
		}
	}
	return nil
}

// compared is the weight that the baseline can have now: what is asked for once
// its endpoints are there, and none while they are not. Whatever is in its way is
// in nobody else's, and what lowers the canary's weight does not even look.
func (r *Router) compared(ctx context.Context, s Split, now Reading) int {
	weight := min(s.BaselineWeight, rollout.Full-s.Weight)
	if s.Weight < now.Weight {
		return max(0, min(weight, now.Baseline))
	}
	if weight <= 0 || s.Baseline == "" || now.NoBaseline != "" {
		return 0
	}
	if err := r.reaches(ctx, rollout.Baseline, s.Baseline, 1); err != nil {
		r.log.Info("the baseline gets no requests", "because", err)
		return 0
	}
	return weight
}

// hold holds both arms to their groups where they are not yet.
func (r *Router) hold(ctx context.Context, s Split, stable, canary string) error {
	var errs []error
	if s.Stable != "" && s.Stable != stable {
		errs = append(errs, r.targets.Hold(ctx, rollout.Stable, s.Stable))
	}
	if s.Canary != "" && s.Canary != canary {
		errs = append(errs, r.targets.Hold(ctx, rollout.Canary, s.Canary))
	}
	r.holdBaseline(ctx, s)
	return errors.Join(errs...)
}

// holdBaseline holds the baseline to its group before it has a weight, so that
// its endpoints are there by then.
func (r *Router) holdBaseline(ctx context.Context, s Split) {
	if s.Baseline == "" || s.Promoted {
		return
	}
	if err := r.targets.Hold(ctx, rollout.Baseline, s.Baseline); err != nil {
		r.log.Warn("the baseline cannot be held to its group", "because", err)
	}
}

// promote is Apply for the end of a run: first the stable arm reaches the
// tested instances, then it takes the weight. At no moment does an arm with
// weight have no endpoints.
func (r *Router) promote(ctx context.Context, s Split) error {
	stable, canary, err := r.targets.Held(ctx)
	if err != nil {
		return err
	}
	group := cmp.Or(s.Stable, cmp.Or(s.Canary, canary))
	if group == "" {
		return errors.New("the stable arm stays where it is: which pods the tested instances are, is not known yet")
	}
	if err := r.hold(ctx, Split{Canary: group}, stable, canary); err != nil {
		return err
	}
	if stable != group {
		if err := r.reaches(ctx, rollout.Canary, group, 1); err != nil {
			return fmt.Errorf("the stable arm stays where it is: %w", err)
		}
		if err := r.targets.Hold(ctx, rollout.Stable, group); err != nil {
			return err
		}
	}
	now, err := r.route.Read(ctx)
	if err != nil {
		return err
	}
	if now.Weight == s.Weight && now.Least == s.Weight {
		return r.set(ctx, s.Weight, 0)
	}
	tested, err := r.targets.Reach(ctx, rollout.Canary)
	if err != nil {
		return err
	}
	if err := r.reaches(ctx, rollout.Stable, group, max(tested[group], 1)); err != nil {
		return fmt.Errorf("the weight stays at %d %%: %w", now.Weight, err)
	}
	return r.set(ctx, s.Weight, 0)
}

// reaches answers nil when an arm has enough ready endpoints, all of one group.
func (r *Router) reaches(ctx context.Context, arm rollout.Arm, group string, enough int) error {
	reach, err := r.targets.Reach(ctx, arm)
	if err != nil {
		return err
	}
	for other, n := range reach {
		if other != group && n > 0 {
			return fmt.Errorf("the %s arm still reaches %d pods with %s; waiting for its endpoints to follow", arm, n, named(other))
		}
	}
	if reach[group] < enough {
		return fmt.Errorf("the %s arm has %d of %d ready endpoints with %s; waiting for them", arm, reach[group], enough, named(group))
	}
	return nil
}

func named(group string) string {
	if group == "" {
		return "no pod-template-hash"
	}
	return "pod-template-hash " + group
}

// set writes the weights and remembers the canary's.
func (r *Router) set(ctx context.Context, weight, baseline int) error {
	r.tried = &weight
	if err := r.route.Set(ctx, weight, baseline); err != nil {
		return err
	}
	r.tried = nil
	if r.last == nil {
		r.last = &Split{}
	}
	r.last.Weight = weight
	return nil
}

// Rest leaves everything as it is to be between runs: all traffic to the stable
// arm, and no arm held to a group, so that nothing depends on Serin. The pods
// that are not to serve must be gone.
func (r *Router) Rest(ctx context.Context) error {
	stable, canary, err := r.targets.Held(ctx)
	errs := []error{r.set(ctx, 0, 0)}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if stable != "" {
		errs = append(errs, r.targets.Hold(ctx, rollout.Stable, ""))
	}
	if canary != "" {
		errs = append(errs, r.targets.Hold(ctx, rollout.Canary, ""))
	}
	if baseline, err := r.targets.HeldBaseline(ctx); err != nil {
		errs = append(errs, err)
	} else if baseline != "" {
		errs = append(errs, r.targets.Hold(ctx, rollout.Baseline, ""))
	}
	r.last = nil
	return errors.Join(errs...)
}

// Asides says what the route sends to an arm whatever the weights are.
func (r *Router) Asides(ctx context.Context) ([]Aside, error) {
	now, err := r.route.Read(ctx)
	return now.Asides, err
}

// Prepare creates what is missing for a first run and says what else is. A gateway
// refuses a route that names a Service which is not there, so what the route names
// is made whichever of route and plan comes first.
func (r *Router) Prepare(ctx context.Context) error {
	now, err := r.route.Read(ctx)
	if err := errors.Join(r.targets.Prepare(ctx, now.NamesBaseline), r.route.Check(ctx)); err != nil {
		return err
	}
	if err == nil {
		err = lacksBaseline(now)
	}
	return err
}

// Check says what keeps the route from splitting now, and writes nothing: also
// what may mend itself, as while a gateway has not yet answered for the route.
func (r *Router) Check(ctx context.Context) error {
	if err := r.route.Check(ctx); err != nil {
		return err
	}
	now, err := r.route.Read(ctx)
	if err != nil {
		return err
	}
	if now.Trouble != "" {
		return errors.New(now.Trouble)
	}
	_, _, errHeld := r.targets.Held(ctx)
	return errors.Join(lacksBaseline(now), errHeld)
}

func lacksBaseline(now Reading) error {
	if now.NoBaseline == "" {
		return nil
	}
	return Refuse("%s; or take baseline: true out of spec.plan", now.NoBaseline)
}
