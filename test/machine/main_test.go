// Package machine tests the one-machine home as a whole: the real program with
// real processes, real HTTP and real signals. What is asserted is what users of
// a released service notice: which version answers, whether a request failed,
// how long it took until stable had everything again.
//
// It knows the program by its command line, its files and its HTTP API alone.
package machine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// seed repeats the random moments of an earlier run of the tests.
var seed = flag.Uint64("machine.seed", 0, "seed of the random moments; 0 takes a new one and prints it")

// given is tried in the place of a program built from the source.
var given = flag.String("machine.serin", "", "test this program, such as one built with -race; default: build it as it is shipped")

// binary is the program under test; it is set once, before any test.
var binary string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sampleArg {
		os.Exit(sample(os.Args[2:]))
	}
	flag.Parse()
	os.Exit(withProgram(m))
}

// withProgram makes the program once, as it is shipped: without cgo.
func withProgram(m *testing.M) int {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if *given != "" {
		binary = *given
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "serin-machine-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "serin")
	cmd := exec.Command("go", "build", "-o", binary, "serin.dev/serin/cmd/serin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build serin: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// random returns a source of randomness of its own for a test; the log says how
// to have the same moments again.
func random(t *testing.T, stream uint64) *rand.Rand {
	t.Helper()
	t.Logf("random moments: -machine.seed=%d", *seed)
	return rand.New(rand.NewPCG(*seed, stream))
}
