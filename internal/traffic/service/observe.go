package service

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/weighted"
)

// Observe implements traffic.Router: the weight that is written, in effect
// when the endpoints that are ready make no more of it.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o := traffic.Observed{CanaryInflight: -1, DrainingInflight: -1}
	service := r.empty()
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(service), service); err != nil {
		return o, weighted.Refused(arms.Failed(err, "read", r.String()))
	}
	st := read(service)
	if !st.known {
		return o, nil
	}
	reach, err := arms.Reach(ctx, r.client, service)
	if err != nil {
		return o, weighted.Refused(err)
	}
	weight, contradicts := st.actual(reach)
	o.Known, o.Weight, o.Promoted = true, weight, r.promoted(st)
	trouble := lag(st, weight, reach, o.Promoted)
	if trouble != "" {
		r.log.Debug("the split is not in effect", "because", trouble)
	}
	o.InEffect = trouble == ""
	o.Revision = service.ResourceVersion
	o.ByInstances, o.Share = true, st.share(reach, o.Promoted)
	o.ChangedBy = r.changedBy(service, st, contradicts)
	return o, nil
}

// promoted: the Service reaches a group that is both arms', other than by a
// split that was just asked for.
func (r *Router) promoted(st state) bool {
	if st.selected == "" || st.selected != st.stable || st.stable != st.canary {
		return false
	}
	return r.last == nil || r.last.Promoted || r.last.StableID != st.stable
}

// lag says what the endpoints do not follow yet, or why they make more than
// the weight.
func lag(st state, weight int, reach map[string]int, promoted bool) string {
	all := 0
	for group, n := range reach {
		all += n
		if st.selected != "" && group != st.selected && n > 0 {
			return fmt.Sprintf("%d endpoints with pod-template-hash %q are still there", n, group)
		}
	}
	switch {
	case (promoted || weight == rollout.Full) && all == 0:
		return "no endpoint is ready"
	case st.selected != "":
		return ""
	case weight == rollout.Full:
		return fmt.Sprintf("the canary has %d endpoints and stable, which is to get nothing, %d", reach[st.canary], all-reach[st.canary])
	case all > 0 && above(reach[st.canary], all, weight):
		return fmt.Sprintf("%d of %d endpoints are the canary's, %.1f %%, and the weight is %d %%", reach[st.canary], all, share(reach[st.canary], all), weight)
	case !above(reach[st.canary]+1, all+1, weight):
		return fmt.Sprintf("%d of %d endpoints are the canary's, and one more is no more than %d %%", reach[st.canary], all, weight)
	}
	return ""
}

// share is the percent of requests that the canary's endpoints get.
func (st state) share(reach map[string]int, promoted bool) int {
	all := 0
	for _, n := range reach {
		all += n
	}
	if promoted || all == 0 {
		return 0
	}
	return (reach[st.canary]*rollout.Full + all/2) / all
}

// changedBy names who changed the selector or the weight since it was applied.
func (r *Router) changedBy(service *corev1.Service, st state, contradicts bool) string {
	field := []string(nil)
	switch {
	case contradicts:
		field = []string{"spec", "selector"}
	case r.last != nil && st.weight != r.last.Weight && (r.tried == nil || st.weight != *r.tried):
		field = []string{"metadata", "annotations", serinv1.WeightAnnotation}
	default:
		return ""
	}
	return cmp.Or(arms.Writer(service.ManagedFields, field...), "somebody who writes as Serin")
}
