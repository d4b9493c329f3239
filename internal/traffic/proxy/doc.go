// Package proxy is the router of one machine: it makes the splits of the
// traffic port true in Serin's own reverse proxy, and owns that proxy's
// listeners.
//
// It knows weights and instances. It must not know phases, verdicts or what the
// instances are.
package proxy
