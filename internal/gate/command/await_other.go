//go:build unix && !linux

package command

// awaitEnd returns when the process has ended and was reaped.
func awaitEnd(_ int, wait func() error) { _ = wait() }
