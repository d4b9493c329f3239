// Package traffic is the port to whatever splits requests between the arms.
// It knows weights and instances; it must not know phases, verdicts or why a
// weight is what it is.
package traffic

import (
	"context"
	"errors"
	"fmt"

	"serin.dev/serin/internal/rollout"
)

// Router splits requests between stable and canary.
//
// Apply and Observe may be called at any time, from one goroutine at a time,
// and must return before ctx ends. They are called again after any error.
type Router interface {
	// Apply makes the split true for every request that begins after it
	// returns. It is idempotent and atomic: a request sees the old split or the
	// new one. Requests in flight finish where they are. On an error the split
	// in effect is the old one or the new one, which Observe tells.
	Apply(ctx context.Context, s Split) error

	// Observe says which split is in effect now, from the router itself and not
	// from memory of what was applied.
	Observe(ctx context.Context) (Observed, error)
}

// Split is what a router is asked for.
type Split struct {
	// Weight is the percent of requests routed to the canary, 0 to 100.
	Weight int
	// Stable and Canary are the instances that may receive requests; an empty
	// list leaves the arm's instances as they are, so that a weight can be
	// lowered before anything else is known. A router that finds instances by
	// itself ignores both.
	Stable, Canary []rollout.Instance
	// StableID and CanaryID are the platform's names of the two groups of
	// instances, for a router that finds instances by itself; empty leaves an
	// arm on the group it is on.
	StableID, CanaryID string
	// BaselineWeight is the percent of requests routed to Baseline: fresh instances
	// of stable's version, to compare the canary with. It is part of what the canary
	// leaves; only a router that says so of itself (Comparer) is asked for it.
	BaselineWeight int
	Baseline       []rollout.Instance
	// BaselineID is the platform's name of that group, as StableID is of its own.
	BaselineID string
	// Promoted says that the stable arm is to reach the canary group: the end
	// of a run, when the tested instances become the stable ones. Stable holds
	// those instances then, and StableID their group.
	Promoted bool
}

// Observed is the state of the router.
type Observed struct {
	// Known is false while the router holds no split at all, as before the
	// first Apply; then the weight is 0.
	Known  bool `json:"known"`
	Weight int  `json:"weight"`
	// Baseline is the baseline's weight.
	Baseline int `json:"baseline,omitempty"`
	// NoBaseline says why a router that takes a baseline cannot give it requests
	// as it is set up now. Empty where it can.
	NoBaseline string `json:"noBaseline,omitempty"`
	// InEffect is false while an applied split has not reached the data plane.
	InEffect bool `json:"inEffect"`
	// Promoted is Split.Promoted as it is in effect.
	Promoted bool `json:"promoted,omitempty"`
	// Revision changes with every change of the weight, whoever makes it, and
	// stays as it is across restarts of Serin; other changes may change it too.
	// Empty where the router cannot tell.
	Revision string `json:"revision,omitempty"`
	// ByInstances is set by a router whose weights are made by the numbers of
	// ready instances, each of which gets an equal part. There, adding instances
	// raises the canary's share, so they are added only after the weight was
	// applied, and it is in effect when they are there.
	ByInstances bool `json:"byInstances,omitempty"`
	// Share is the percent of requests that the instances make, at most Weight
	// when that is in effect. It has a meaning with ByInstances alone.
	Share int `json:"share,omitempty"`
	// CanaryInflight is the number of requests the canary arm is working on;
	// -1 where it cannot be seen.
	CanaryInflight int `json:"canaryInflight"`
	// DrainingInflight is the same for instances that Split no longer names in
	// the stable arm and that still have requests: those being drained.
	DrainingInflight int `json:"drainingInflight"`
	// ChangedBy names who else changed the weight since Apply, if anyone did.
	ChangedBy string `json:"changedBy,omitempty"`
	// Unsplit are the arms that requests reach beside the split, where nobody
	// who counts an arm's requests can tell those apart.
	Unsplit []rollout.Arm `json:"unsplit,omitempty"`
}

// ErrRefused is wrapped by errors that trying again cannot mend: the split
// cannot be made by this router, or is not permitted.
var ErrRefused = errors.New("refused by the router")

// Comparer is implemented by routers that can route a part of the requests to a
// baseline.
type Comparer interface{ TakesBaseline() }

// Aside is requests that reach an arm beside the split, whatever the weight is:
// somebody wrote so in the router's own object, and Serin leaves it as it is.
type Aside struct {
	Arm rollout.Arm `json:"arm"`
	// Where is the place that says so.
	Where string `json:"where"`
	// Requests says which requests they are, in words.
	Requests string `json:"requests"`
	// Open: they need not carry anything that only testers know of, a header, a
	// cookie or a parameter.
	Open bool `json:"open,omitempty"`
	// Copies: another arm answers, and this one gets copies.
	Copies bool `json:"copies,omitempty"`
}

func (a Aside) String() string {
	if a.Copies {
		return fmt.Sprintf("copies of %s go to %s (%s)", a.Requests, a.Arm, a.Where)
	}
	return fmt.Sprintf("%s go to %s whatever the weight (%s)", a.Requests, a.Arm, a.Where)
}

// Matcher is implemented by routers that can lead requests to one arm by what
// they carry: testers to the canary by a header or a cookie.
type Matcher interface {
	// Matched says which requests are led so now.
	Matched(ctx context.Context) ([]Aside, error)
}

// Mirrorer is implemented by routers that can send an arm copies of requests
// that another answers.
type Mirrorer interface {
	// Mirrored says which requests are copied so now.
	Mirrored(ctx context.Context) ([]Aside, error)
}

// Rester is implemented by routers whose objects outlive Serin.
type Rester interface {
	// Rest leaves the router's objects as they are to be between runs: all
	// traffic to the stable arm, no arm held to a group of instances, so that
	// nothing depends on Serin. It is idempotent and does not touch objects
	// that are so already.
	Rest(ctx context.Context) error
}

// Preparer is implemented by routers that can be made ready before a run.
type Preparer interface {
	// Prepare creates what belongs to the router and is missing, and says what
	// else keeps it from splitting: an object that does not exist, a rule that
	// names no arm. The error wraps ErrRefused where only a person can mend it.
	// It moves no traffic and is idempotent.
	Prepare(ctx context.Context) error
}

// Checker is implemented by routers that can be asked whether a split could be
// made.
type Checker interface {
	// Check says what keeps the router from splitting as its objects are now; nil:
	// nothing. It writes nothing. What Prepare would create is not asked for.
	Check(ctx context.Context) error
}
