// Package install tests the installation on a real API server with the real
// program: what is applied, what the controller may then do, and what is left
// when Serin is taken out again.
package install
