//go:build plane

// Command cluster measures what the controller costs and how quickly it gets
// many releases back, on a real API server whose pods are faked ready: memory,
// processor time and requests at rest, ticks made of ticks due with many runs
// at once, and the time to weight 0 when all of them turn bad together. The
// controller is the program itself, with the rights that `serin install` gives
// it; requests are counted by the API server's own audit log; the figures that
// it judges come from a real Prometheus. It prints each figure beside its bar
// and exits with 1 when one is missed.
//
//	go run -tags plane ./test/bench/cluster
//	go run -tags plane ./test/bench/cluster -idle 500,1000,10000
package main
