// Package proxy is a weighted HTTP reverse proxy for two arms, stable and
// canary. It splits requests exactly, hides a canary that cannot be reached
// from users while still counting it, measures both arms alike, and can hand
// its listeners to a successor process.
//
// It knows no rollouts: no phases, checks, decisions or records. Its caller
// says which weight holds now (Update) and reads what happened (Snapshot).
// It imports no other package of this module.
package proxy
