package plane

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// frugal makes this program and all that it starts easier on the processors, which
// tests have less of than memory: garbage is collected later, and a program that is
// one of dozens does not wake the processors that the others need. What the
// environment says already stays.
func frugal() {
	if os.Getenv("GOGC") == "" {
		_ = os.Setenv("GOGC", "400") // there is no error for such names
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		_ = os.Setenv("GOMAXPROCS", strconv.Itoa(max(1, runtime.NumCPU()/2)))
	}
}

// Run starts a plane, puts it where the tests find it, runs them and ends the
// plane. It is the body of a TestMain and returns the exit code. When the plane
// needs a network of its own, the test program runs inside of it from here on.
func Run(m *testing.M, o Options, to **Plane) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // the first time the programs are built
	defer cancel()
	var p *Plane
	var err error
	if o.ownNetwork() {
		err = Enter(ctx, o)
	}
	if err == nil {
		// Not before, as Enter begins this program anew: with one processor from the
		// beginning it would run its tests one by one.
		frugal()
		p, err = Start(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the test plane:", err)
		return 1
	}
	*to = p
	code := m.Run()
	if code != 0 {
		p.removeDir = false
		fmt.Fprintln(os.Stderr, "test plane: logs are kept in", p.Dir)
	}
	if err := p.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "end the test plane:", err)
		return 1
	}
	return code
}
