package analysis

import (
	"math"
	"time"
)

// warmup keeps the canary's response times out of the evidence while it is
// still getting faster: a fresh instance has cold caches and pools that stable's
// has not, which is age and not version. Errors count from the first request.
type warmup struct {
	// Elapsed is the time since the canary's first request.
	Elapsed time.Duration `json:"elapsed,omitempty"`
	Ticks   int           `json:"ticks,omitempty"`
	// Done says that the canary's times are compared; Past that it is beyond the
	// time in which they may still be getting shorter.
	Done bool `json:"done,omitempty"`
	Past bool `json:"past,omitempty"`
	// Instances is how many the canary had at most; a fresh one warms up anew.
	Instances int `json:"instances,omitempty"`
	// Regression of the arms' difference on the time, with fading weights: the
	// sums of w, wt, wtt, wz and wtz, t in ticks.
	W   float64 `json:"w,omitempty"`
	WT  float64 `json:"wt,omitempty"`
	WTT float64 `json:"wtt,omitempty"`
	WZ  float64 `json:"wz,omitempty"`
	WTZ float64 `json:"wtz,omitempty"`
}

const (
	// warmTicks is how many ticks a slope needs.
	warmTicks = 5
	// warmFading makes the latest thirty ticks or so count.
	warmFading = 0.97
	// How many standard errors the difference must go down by to be called
	// falling: for the warm-up to go on, and for a rollback to wait.
	warmFalling     = 2
	rollbackFalling = 0.5
)

// add takes in a tick in which the canary had requests, and its difference from
// stable with the information on it.
func (w *warmup) add(tm timing, dt time.Duration, instances int, shift, information float64) {
	if instances > w.Instances {
		*w = warmup{Instances: instances}
	}
	if w.Past {
		return
	}
	w.Elapsed += dt
	w.Ticks++
	t := float64(w.Ticks)
	for _, sum := range []*float64{&w.W, &w.WT, &w.WTT, &w.WZ, &w.WTZ} {
		*sum *= warmFading
	}
	w.W += information
	w.WT += information * t
	w.WTT += information * t * t
	w.WZ += information * shift
	w.WTZ += information * t * shift
	w.Past = w.Elapsed >= tm.WarmMax
	w.Done = w.Done || w.Past || w.Elapsed >= tm.WarmMin && w.Ticks >= warmTicks && !w.falling(warmFalling)
}

// healing says that a canary that is slower may be so because it is fresh: it
// is, and the difference is going down.
func (w *warmup) healing() bool { return !w.Past && w.falling(rollbackFalling) }

// falling says whether the difference goes down by more than so many standard
// errors.
func (w *warmup) falling(errors float64) bool {
	if w.W <= 0 {
		return false
	}
	spread := w.WTT - w.WT*w.WT/w.W
	if spread <= 0 {
		return false
	}
	slope := (w.WTZ - w.WT*w.WZ/w.W) / spread
	return slope < -errors/math.Sqrt(spread)
}
