// Package endpoints is the workload whose instances somebody else runs: URLs
// that Serin watches and never starts or stops.
//
// It knows two groups of URLs. It must not know weights in effect, phases or
// verdicts, nor any router.
package endpoints
