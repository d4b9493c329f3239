package arms

import (
	"cmp"
	"context"
	"fmt"

	"serin.dev/serin/internal/rollout"
)

// Observe says which split is in effect, from the objects.
func (r *Router) Observe(ctx context.Context) (Observed, error) {
	stable, canary, err := r.targets.Held(ctx)
	if err != nil {
		return Observed{}, err
	}
	if stable == "" && canary == "" {
		// Between runs: nobody split anything.
		return Observed{}, nil
	}
	now, err := r.route.Read(ctx)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{Known: true, Weight: now.Weight, Promoted: r.promoted(stable, canary), ChangedBy: r.changedBy(now), Revision: now.Revision, Asides: now.Asides, Baseline: now.Baseline, NoBaseline: now.NoBaseline}
	if o.ChangedBy != "" {
		r.told = now.Revision
	}
	switch {
	case now.Trouble != "":
		o.Trouble = now.Trouble
	case now.Weight != now.Least:
		o.Trouble = fmt.Sprintf("its rules give the canary from %d to %d %%", now.Least, now.Weight)
	default:
		if o.Trouble, err = r.lag(ctx, stable, canary, o.Promoted); err != nil {
			return Observed{}, err
		}
	}
	o.InEffect = o.Trouble == ""
	if o.Trouble != r.trouble {
		r.trouble = o.Trouble
		if o.Trouble != "" {
			r.log.Info("the split is not in effect", "because", o.Trouble)
		}
	}
	return o, nil
}

// promoted: both arms are held to the same group, and that is not the group
// that the stable arm was just asked to be on.
func (r *Router) promoted(stable, canary string) bool {
	if stable == "" || stable != canary {
		return false
	}
	return r.last == nil || r.last.Promoted || r.last.Stable != stable
}

// lag says where the endpoints have not yet followed the groups.
func (r *Router) lag(ctx context.Context, stable, canary string, promoted bool) (string, error) {
	if stable == "" {
		return "the stable arm is held to no group of pods", nil
	}
	reach, err := r.targets.Reach(ctx, rollout.Stable)
	if err != nil {
		return "", err
	}
	for group, n := range reach {
		if group != stable && n > 0 {
			return fmt.Sprintf("the stable arm still reaches %d pods with %s", n, named(group)), nil
		}
	}
	if promoted && reach[stable] == 0 {
		return "the stable arm does not reach the tested pods yet", nil
	}
	if canary == "" || canary == stable {
		return "", nil
	}
	if reach, err = r.targets.Reach(ctx, rollout.Canary); err != nil {
		return "", err
	}
	for group, n := range reach {
		if group != canary && n > 0 {
			return fmt.Sprintf("the canary arm still reaches %d pods with %s", n, named(group)), nil
		}
	}
	return "", nil
}

// changedBy names who else set the weight since it was applied. After a
// restart nothing was applied yet; then a weight above 0 that Serin did not
// write is somebody's, as a run begins by writing 0.
func (r *Router) changedBy(now Reading) string {
	writer := cmp.Or(now.Writer, "somebody who writes as Serin")
	if r.last == nil {
		if now.Weight > 0 {
			return now.Writer
		}
		return ""
	}
	for _, ours := range []*int{&r.last.Weight, r.tried} {
		if ours != nil && now.Weight == *ours && now.Least == *ours {
			return ""
		}
	}
	return writer
}
