package stats

// Fano estimates the ratio of variance to mean of one arm's counts from
// successive ticks, so that what changes slowly does not count.
type Fano struct {
	// Events and Exposure are the latest tick's.
	Events   float64 `json:"events,omitempty"`
	Exposure float64 `json:"exposure,omitempty"`
	// Pairs is how many pairs of successive ticks had events; Squares and
	// Variance are the sums of their squared differences and of what those
	// would be had the events come one by one.
	Pairs    float64 `json:"pairs,omitempty"`
	Squares  float64 `json:"squares,omitempty"`
	Variance float64 `json:"variance,omitempty"`
}

// Add takes in a tick.
func (f *Fano) Add(events, exposure float64) {
	if exposure <= 0 {
		return
	}
	if k := events + f.Events; k > 0 && f.Exposure > 0 {
		// Given both ticks' events, the latter's are binomial.
		p := exposure / (exposure + f.Exposure)
		d := events - k*p
		f.Pairs++
		f.Squares += d * d
		f.Variance += k * p * (1 - p)
	}
	f.Events, f.Exposure = events, exposure
}

// Mean is how many events a tick had, of those in pairs with events, for ticks of
// equal exposure; 0 where there was none.
func (f *Fano) Mean() float64 {
	if f.Pairs == 0 {
		return 0
	}
	return 2 * f.Variance / f.Pairs
}

// FanoOf is the estimate from several arms together, drawn to a prior.
func FanoOf(prior float64, arms ...*Fano) float64 {
	sum, n := priorBlocks*prior, float64(priorBlocks)
	for _, f := range arms {
		if f.Pairs > 0 {
			sum += f.Squares / (f.Variance / f.Pairs)
			n += f.Pairs
		}
	}
	return sum / n
}
