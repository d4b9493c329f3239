package exceptions_test

import (
	"syscall"
	"testing"
	"time"
)

// used is the processor time of this process, which is fair on a busy machine.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
