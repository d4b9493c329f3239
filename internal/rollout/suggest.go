package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// suggest returns the mend for a name that is not one of known: the nearest
// known name when one is near enough to be a slip of the pen, and all of them.
func suggest(name string, known []string) string {
	list := strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s? known: %s", near, list)
	}
	return "known: " + list
}

// nearest returns the known name with the smallest edit distance to name,
// empty when that is more than a third of name's length.
func nearest(name string, known []string) string {
	const longest = 64 // longer names are no slip of the pen, and cost time
	if len(name) > longest {
		return ""
	}
	best, bestDistance := "", 1+max(1, (len(name)+1)/3)
	for _, k := range known {
		d := editDistance(strings.ToLower(name), strings.ToLower(k))
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, previous := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(x); i++ {
		current := make([]int, len(y)+1)
		current[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(y)]
}

// sortedKeys returns the keys of m in alphabetical order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
