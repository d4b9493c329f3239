package analysis

// latencyCheck judges response times.
type latencyCheck struct{}

func newLatencyCheck() *latencyCheck                     { return &latencyCheck{} }
func (l *latencyCheck) clone() *latencyCheck             { return &latencyCheck{} }
func (l *latencyCheck) newPhase()                        {}
func (l *latencyCheck) mark()                            {}
func (l *latencyCheck) add(r rules, t reading) bool      { return false }
func (l *latencyCheck) result(r rules, t reading) Result { return Result{} }
