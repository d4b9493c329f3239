package deployment

// sizeFor is how many pods a canary needs for a percentage of the traffic when
// the Deployment asks for n.
//
// With ratio, pods are picked by a plain Service with equal chance, beside n
// stable ones, so their share must not exceed the weight. One pod is the least
// there can be; lint says when that is too many.
func sizeFor(n int32, percent int, ratio bool) int32 {
	switch {
	case n <= 0 || percent <= 0:
		return 0
	case percent >= 100:
		return n
	case ratio:
		return int32(max(1, int64(n)*int64(percent)/int64(100-percent)))
	}
	return int32((int64(n)*int64(percent) + 99) / 100)
}

// capacityOf is the percentage of the traffic that this many ready pods of a
// Deployment of n can take.
func capacityOf(n, ready int32) int {
	if n <= 0 || ready <= 0 {
		return 0
	}
	return int(min(100, int64(ready)*100/int64(n)))
}

// ratioCapacityOf is the same for a canary whose pods are picked with equal
// chance: the highest weight that these many pods are the right number for.
func ratioCapacityOf(n, ready int32) int {
	if n <= 0 || ready <= 0 {
		return 0
	}
	percent := 100
	for percent > 0 && sizeFor(n, percent, true) > ready {
		percent--
	}
	return percent
}
