package analysis

import "serin.dev/serin/internal/rollout"

// A tick presses when the canary had at least so many errors in it, at least
// this part of its requests failed, and at least so many times stable's. Half of
// these errors are still as many as the bet on a gross fault asks for: more
// looks at fewer events would prove less.
const (
	pressingErrors = 2 * grossEvents
	pressingShare  = 0.1
	pressingJump   = 3
)

// Presses reports that a tick looks like a gross fault of the canary, so that
// the next one is better short. It is no evidence and enters none.
//
// How long the next tick lasts then depends on what is past when it begins, and
// on nothing in it, so every test is as valid as with even ticks: each bet is
// fair given all ticks before.
func Presses(t rollout.Tick) bool {
	c, s := t.Arms.Canary, t.Arms.Stable
	if c == nil || c.Requests == nil || c.Errors == nil || *c.Requests <= 0 {
		return false
	}
	rate := *c.Errors / *c.Requests
	if !(*c.Errors >= pressingErrors && rate >= pressingShare) { // so that what is no number does not
		return false
	}
	if s == nil || s.Requests == nil || s.Errors == nil || *s.Requests <= 0 {
		return t.Weight >= rollout.Full // there is nothing to compare with
	}
	return rate >= pressingJump**s.Errors / *s.Requests
}
