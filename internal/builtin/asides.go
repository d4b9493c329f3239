package builtin

import (
	"context"
	"errors"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// Asides says which requests reach an arm of a router beside the split, as far as
// the router can tell.
func Asides(ctx context.Context, router traffic.Router) ([]traffic.Aside, error) {
	var all []traffic.Aside
	var errMatched, errMirrored error
	if m, ok := router.(traffic.Matcher); ok {
		all, errMatched = m.Matched(ctx)
	}
	if m, ok := router.(traffic.Mirrorer); ok && errMatched == nil {
		var copies []traffic.Aside
		copies, errMirrored = m.Mirrored(ctx)
		all = append(all, copies...)
	}
	return all, errors.Join(errMatched, errMirrored)
}

// ClusterAsides is Asides for a rollout on a cluster.
func ClusterAsides(ctx context.Context, r rollout.Rollout, env ClusterEnv) ([]traffic.Aside, error) {
	router, err := NewClusterRouter(r, env)
	if err != nil {
		return nil, err
	}
	return Asides(ctx, router)
}
