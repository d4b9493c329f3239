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
	Done    bool          `json:"done,omitempty"`
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
	// warmFading makes the latest fifteen ticks or so count.
	warmFading = 0.93
)

// add takes in a tick in which the canary had requests, and its difference from
// stable with the information on it.
func (w *warmup) add(tm timing, dt time.Duration, instances int, shift, information float64) {
	if instances > w.Instances {
		*w = warmup{Instances: instances}
	}
	if w.Done {
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
	w.Done = w.Elapsed >= tm.WarmMax || w.Elapsed >= tm.WarmMin && w.Ticks >= warmTicks && !w.falling()
}

// falling says whether the difference goes down by more than chance would have
// it (two standard errors).
func (w *warmup) falling() bool {
	if w.W <= 0 {
		return false
	}
	spread := w.WTT - w.WT*w.WT/w.W
	if spread <= 0 {
		return false
	}
	slope := (w.WTZ - w.WT*w.WZ/w.W) / spread
	return slope < -2/math.Sqrt(spread)
}
