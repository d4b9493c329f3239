// Package service splits traffic by the number of pods behind one Service: with
// no pod-template-hash in its selector, both groups' pods are its endpoints and
// each gets its part. At weight 0 the selector names the stable group, at 100
// the canary's.
//
// The canary's pods are made by the workload: those of the first weight before
// the Service selects them, and those that a higher weight adds after it was
// written here, as each gets requests when it is ready. Traffic begins and grows
// only where the canary's share does not exceed the weight. It writes the
// selector's pod-template-hash and annotations of its own, with one write, and
// nothing else. It must not know phases or verdicts.
package service
