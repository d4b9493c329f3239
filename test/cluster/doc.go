// Package cluster tries Serin on a real control plane as its users would:
// pods are processes, requests go through a real gateway, figures come from a
// real Prometheus. What is asserted is what users see: who answered their
// requests, and that none failed.
package cluster
