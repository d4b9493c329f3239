package arms

import (
	"slices"
	"strings"

	"serin.dev/serin/internal/rollout"
)

// Aside is what a route sends to an arm whatever the weights are. The user wrote
// it, and nothing of it is ever written.
type Aside struct {
	Arm rollout.Arm
	// Where is its place in the object.
	Where string
	// Matches are the ways in which a request is meant, one of which is enough;
	// none means all requests.
	Matches []Match
	// Copies: another answers, and the arm gets a copy of the request.
	Copies bool
}

// Match is what a request must be like, all of it, in words.
type Match struct {
	// Known is what only those send who know of it: headers, cookies, parameters.
	Known []string
	// Others is the rest, such as a path.
	Others []string
}

// Open reports whether a request may get there that carries nothing in
// particular.
func (a Aside) Open() bool {
	return len(a.Matches) == 0 || slices.ContainsFunc(a.Matches, func(m Match) bool { return len(m.Known) == 0 })
}

// Requests says in words which requests are meant.
func (a Aside) Requests() string {
	var ways []string
	for _, m := range a.Matches {
		all := slices.Concat(m.Others, m.Known)
		if len(all) == 0 {
			return everything
		}
		ways = append(ways, strings.Join(all, " and "))
	}
	if len(ways) == 0 {
		return everything
	}
	return "requests with " + strings.Join(ways, ", or with ")
}

const everything = "all requests"

// Sent returns the arms that a rule sends requests to, in its order, and whether
// it names both. arm tells which arm an entry of the rule's list is.
func Sent(entries []any, arm func(entry map[string]any) (rollout.Arm, bool)) (sent []rollout.Arm, both bool) {
	named := map[rollout.Arm]bool{}
	for _, entry := range entries {
		entry, _ := entry.(map[string]any)
		a, ok := arm(entry)
		if ok && !named[a] && entry["weight"] != int64(0) {
			sent = append(sent, a)
		}
		named[a] = named[a] || ok
	}
	return sent, named[rollout.Stable] && named[rollout.Canary]
}

// Unsplit are the arms that get requests beside the split.
func Unsplit(asides []Aside) []rollout.Arm {
	var unsplit []rollout.Arm
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		if slices.ContainsFunc(asides, func(a Aside) bool { return a.Arm == arm }) {
			unsplit = append(unsplit, arm)
		}
	}
	return unsplit
}
