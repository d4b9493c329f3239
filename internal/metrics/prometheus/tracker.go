package prometheus

// tracker turns the cumulative series of one query and arm into increments.
type tracker[T any] struct {
	// last is how far each series has been counted.
	last map[string]point[T]
	// subtract returns the increment from one value to the next; false when
	// the counter began anew in between, and the increment is the new value.
	subtract func(now, before T) (T, bool)
	add      func(a, b T) T
}

func newCounters() *tracker[float64] {
	return &tracker[float64]{
		last: map[string]point[float64]{},
		subtract: func(now, before float64) (float64, bool) {
			if now < before {
				return now, false
			}
			return now - before, true
		},
		add: func(a, b float64) float64 { return a + b },
	}
}

func newHistograms() *tracker[histogram] {
	return &tracker[histogram]{
		last:     map[string]point[histogram]{},
		subtract: histogram.subtract,
		add:      histogram.plus,
	}
}

// span is the part of a target's samples that a tick takes: those scraped after
// from, up to to.
type span struct {
	from, to int64
	// origin says of a series that is met first within the span that it began
	// there, at zero: an earlier scrape of the same target lacked it, or the
	// program started later than anything counted so far.
	origin bool
	// restarts are the scrapes before which the target's program began anew:
	// those within the span, and the latest before it.
	restarts []int64
	// start and mute are what progress notes of the program's start.
	start float64
	mute  bool
}

func (s span) restartedBetween(before, now int64) bool {
	for _, at := range s.restarts {
		if before < at && at <= now {
			return true
		}
	}
	return false
}

// advance counts a series over a span and returns its increment, and whether
// there is one.
func (t *tracker[T]) advance(s series[T], over span) (increment T, counted bool) {
	last, known := t.last[s.key]
	begun := known // its samples up to the span's beginning were counted
	grow := func(by T) {
		if counted {
			by = t.add(increment, by)
		}
		increment, counted = by, true
	}
	for _, p := range s.points {
		switch {
		case p.at > over.to:
			// The next tick's.
			continue
		case known && p.at <= last.at:
			continue
		case !begun && p.at <= over.from:
			// Where counting begins, so far.
		case known:
			by, whole := t.subtract(p.value, last.value)
			if whole && s.own() && over.restartedBetween(last.at, p.at) {
				by = p.value // it has passed its old value already
			}
			grow(by)
		case over.origin:
			grow(p.value)
		}
		last, known = p, true
	}
	if known {
		t.last[s.key] = last
	}
	return increment, counted
}

// forget drops series that have not been seen since a time.
func (t *tracker[T]) forget(before int64) {
	for key, p := range t.last {
		if p.at < before {
			delete(t.last, key)
		}
	}
}
