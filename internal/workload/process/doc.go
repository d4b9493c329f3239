// Package process is the workload whose instances are processes that Serin
// itself starts on this machine: it gives each an address, watches its
// readiness, restarts it with back-off, stops it gracefully, keeps its output in
// bounded log files, and takes it over again after a restart of Serin.
//
// It knows two groups and how many instances each should have. It must not know
// weights in effect, phases or verdicts, nor any router.
package process
