// Package weighted is the traffic port over a route whose weights stand in an
// object of a cluster: what the adapters of meshes and gateways have in common.
// Which object that is, and which of its rules split, they say; it must know no
// kind of route, nor phases and verdicts.
package weighted

import (
	"context"
	"fmt"
	"log/slog"

	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic"
)

// Router is a route with two targets.
type Router struct{ arms *arms.Router }

// New returns the router of one rollout; log may be nil. It asks the cluster for
// nothing yet.
func New(route arms.Route, targets arms.Targets, log *slog.Logger) *Router {
	return &Router{arms: arms.New(route, targets, log)}
}

// Apply implements traffic.Router.
func (r *Router) Apply(ctx context.Context, s traffic.Split) error {
	return Refused(r.arms.Apply(ctx, arms.Split{
		Weight: s.Weight, Stable: s.StableID, Canary: s.CanaryID, Promoted: s.Promoted,
		BaselineWeight: s.BaselineWeight, Baseline: s.BaselineID,
	}))
}

// TakesBaseline implements traffic.Comparer. Where an adapter's targets take none,
// that is refused before a run.
func (r *Router) TakesBaseline() {}

// Observe implements traffic.Router.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o, err := r.arms.Observe(ctx)
	return traffic.Observed{
		Known: o.Known, Weight: o.Weight, InEffect: o.InEffect, Promoted: o.Promoted, ChangedBy: o.ChangedBy,
		Baseline: o.Baseline, NoBaseline: o.NoBaseline, Revision: o.Revision, CanaryInflight: -1, DrainingInflight: -1, Unsplit: arms.Unsplit(o.Asides),
	}, Refused(err)
}

// Rest implements traffic.Rester.
func (r *Router) Rest(ctx context.Context) error { return Refused(r.arms.Rest(ctx)) }

// Prepare implements traffic.Preparer.
func (r *Router) Prepare(ctx context.Context) error { return Refused(r.arms.Prepare(ctx)) }

// Check implements traffic.Checker.
func (r *Router) Check(ctx context.Context) error { return Refused(r.arms.Check(ctx)) }

// Matched implements traffic.Matcher.
func (r *Router) Matched(ctx context.Context) ([]traffic.Aside, error) { return r.asides(ctx, false) }

// Mirrored implements traffic.Mirrorer.
func (r *Router) Mirrored(ctx context.Context) ([]traffic.Aside, error) { return r.asides(ctx, true) }

func (r *Router) asides(ctx context.Context, copies bool) ([]traffic.Aside, error) {
	all, err := r.arms.Asides(ctx)
	var found []traffic.Aside
	for _, a := range all {
		if a.Copies == copies {
			found = append(found, Aside(a))
		}
	}
	return found, Refused(err)
}

// Aside makes an aside the port's.
func Aside(a arms.Aside) traffic.Aside {
	return traffic.Aside{Arm: a.Arm, Where: a.Where, Requests: a.Requests(), Open: a.Open(), Copies: a.Copies}
}

// Refused makes a refusal the port's.
func Refused(err error) error {
	if arms.Refused(err) {
		return fmt.Errorf("%w: %w", traffic.ErrRefused, err)
	}
	return err
}

var _ interface {
	traffic.Router
	traffic.Rester
	traffic.Preparer
	traffic.Checker
	traffic.Comparer
	traffic.Matcher
	traffic.Mirrorer
} = (*Router)(nil)
