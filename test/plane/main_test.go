//go:build plane

package plane_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"serin.dev/serin/test/plane"
)

// cluster is what the tests of this package share; it is set once, before any
// test.
var cluster *plane.Plane

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sampleArg {
		os.Exit(sample(os.Args[2:]))
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := plane.Full()
	o.Kubelet.Programs = map[string][]string{"sample": {self, sampleArg}}
	os.Exit(plane.Run(m, o, &cluster))
}

// eventually asks again until there is no error, and fails with the last one
// when that takes too long.
func eventually(t *testing.T, limit time.Duration, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
