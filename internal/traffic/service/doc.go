// Package service splits traffic by the number of pods behind one Service: with
// no pod-template-hash in its selector, both groups' pods are its endpoints and
// each gets its part. At weight 0 the selector names the stable group, at 100
// the canary's.
//
// The canary's pods are made by the workload; this adapter lets their traffic
// begin only where their share does not exceed the weight. It writes the
// selector's pod-template-hash and annotations of its own, with one write, and
// nothing else. It must not know phases or verdicts.
package service
