//go:build plane

// Command release measures what a release means for the people it reaches, on a
// full plane: requests go through Traefik to pods that are processes, Prometheus
// scrapes Traefik, and the installed controller does what it does. For bad
// versions it counts the seconds from the first to the last answer of the canary
// and the requests that the canary failed; for versions that are as noisy as
// the one that serves, it counts the releases that were rolled back all the same.
// It prints each figure beside its bar and exits with 1 when one is missed.
//
//	go run -tags plane ./test/bench/release
//	go run -tags plane ./test/bench/release -n 3 -kinds bad50 -intervals 5s
package main
