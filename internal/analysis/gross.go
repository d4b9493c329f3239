package analysis

// gross is the bet on a gross fault: nearly everything, in ticks with so many
// events that a gross fault of the canary would look like that and no usual
// tick would. When all of them are the canary's, each such tick multiplies it
// by almost 1/share, which is the most that any test can that is fair to clumps:
// all events of a tick may be one, and fall on the canary with that probability.
//
// It is exact as every bet is: whether it plays depends on how many events
// there were in both arms and on earlier ticks, not on how they fell. It lasts
// over the whole run: a tick in which it does not play costs nothing.
type gross struct {
	// Worth is what a stake of 1 has become.
	Worth float64 `json:"worth"`
	// CalmEvents and CalmExposure are those of the ticks in which it did not
	// play, of both arms.
	CalmEvents   float64 `json:"calmEvents,omitempty"`
	CalmExposure float64 `json:"calmExposure,omitempty"`
}

const (
	// boldness is how much of everything is bet.
	boldness = 0.98
	// A tick is played when its events are at least so many, at least this part
	// of the canary's exposures, and this many times the usual. With a tenth of the
	// exposures 20 % of errors are shown after 21 s instead of 30, but the two halves of
	// a clump that lasts seconds are played as well: clumps of 20 errors within 3 s,
	// one in two minutes, were rolled back in 1.0 % of 400 healthy hours instead of none.
	grossEvents = 5
	grossShare  = 0.3
	grossJump   = 3
)

// add takes in a tick in which the canary is due the share p0 of the events
// under the null. out says to sit it out.
func (g *gross) add(t countTick, p0 float64, out bool) {
	k, n := t.canaryEvents+t.stableEvents, t.canaryExposure+t.stableExposure
	usual := 0.0
	if g.CalmExposure > 0 {
		usual = g.CalmEvents / g.CalmExposure * n
	}
	switch {
	case k < max(grossEvents, grossShare*t.canaryExposure, grossJump*usual):
		g.CalmEvents += k
		g.CalmExposure += n
	case !out && p0 < 1:
		g.Worth = min(fortune, g.Worth*(1+boldness*(t.canaryEvents/(p0*k)-1)))
	}
}

// grossStake is the part of an error check's stake that the bet needs to decide
// in two ticks at 5 % of the traffic when a tenth of a tick's events are
// stable's; where that is too much, in three.
func grossStake(alpha float64) float64 {
	const most = 0.55
	const tick = 1 + boldness*(0.9/0.05-1)
	if need := 1 / (alpha * tick * tick); need <= most {
		return need
	}
	return min(most, 1/(alpha*tick*tick*tick))
}
