// Package simulate plays releases that never happen: traffic drawn by chance
// from a description, judged and decided by the same engine as a real run's. It
// measures how often a plan rolls a healthy version back, how often it lets a
// bad one through, how long it takes and how many users are hit meanwhile.
//
// All chance comes from a seed: run i of a scenario is the same run on any
// machine, whatever the number of cores and of runs.
//
// It knows the pure rooms only: no file, clock, network or terminal.
package simulate
