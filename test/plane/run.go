package plane

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

// lessCollecting lets this program and all that it starts take more memory for less
// of the processors' time, which tests have less of. A GOGC that is set stays.
func lessCollecting() {
	if os.Getenv("GOGC") == "" {
		_ = os.Setenv("GOGC", "400") // there is no error for such a name
		debug.SetGCPercent(400)
	}
}

// Run starts a plane, puts it where the tests find it, runs them and ends the
// plane. It is the body of a TestMain and returns the exit code. When the plane
// needs a network of its own, the test program runs inside of it from here on.
func Run(m *testing.M, o Options, to **Plane) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // the first time the programs are built
	defer cancel()
	lessCollecting()
	var p *Plane
	var err error
	if o.ownNetwork() {
		err = Enter(ctx, o)
	}
	if err == nil {
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
