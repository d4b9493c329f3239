package analysis

import "math"

// Where nearly all of stable's times lie in one wide bucket, as those of a
// service that answers in 20 ms do in buckets of 0.1, 0.3, 1.2 and 5 s, buckets
// tell a slower canary from an equal one hardly or not at all. Their sum does:
// the score of a tick's times is then the logarithm of their mean.

// oneBucket is the part of stable's times that lie in one wide bucket from which
// on the sum tells more than the buckets. Where fewer do, the share in each of
// them tells as much, and outliers matter less.
const oneBucket = 0.95

// blind says that the buckets of stable's times tell little.
func (h histogram) blind() bool {
	_, most := h.fullest()
	return !h.isFine() && most >= oneBucket*h.n
}

// relativeVariance is the variance of the logarithm of a mean, times the requests
// it is of: the squared coefficient of variation of the times. Those in the fullest
// bucket, which does not tell how they vary, are taken to do so like those of an
// exponential distribution; where they vary more, the noise that is seen says so.
// The others are few and far away.
func (l *latencyCheck) relativeVariance(h *histogram) float64 {
	mean := h.seconds / h.n
	far, most, fullest := 0.0, -1.0, 0.0
	for i, b := range l.rulers.of(h.of.Bounds).buckets {
		c := h.of.Counts[i]
		square := c * b.seconds * b.seconds
		if far += square; c > most {
			most, fullest = c, square
		}
	}
	return 1 + max(0, far-fullest)/(h.n*mean*mean)
}

// chooseScore decides by the first of stable's times, once a run.
func (l *latencyCheck) chooseScore(stable histogram) {
	if l.Level.Ticks == 0 && stable.n > 0 {
		l.ByMeans = stable.known && stable.blind()
	}
}

const noSum = "nearly all response times lie in one wide bucket, and their sum was not measured this time, so they cannot be compared"

// rescore replaces the scores by those of the check where they are others; ok is
// false when the sum that they are made of is missing.
func (l *latencyCheck) rescore(h *histogram) (ok bool) {
	if !l.ByMeans || h.n == 0 {
		return true
	}
	if !h.known || h.seconds <= 0 {
		return false
	}
	h.mean, h.variance = math.Log(h.seconds/h.n), l.relativeVariance(h)
	return true
}
