//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/plane"
)

var (
	cluster *plane.Plane
	// objects reads and writes as the administrator.
	objects client.Client
	// program is the serin that is tried.
	program string
)

// limit bounds what should take seconds on a quiet machine.
const limit = 2 * time.Minute

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sampleArg {
		os.Exit(sample(os.Args[2:]))
	}
	self, err := os.Executable()
	if err == nil {
		program, err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := plane.Full()
	o.Kubelet.Programs = map[string][]string{"sample": {self, sampleArg}, "serin": {program}}
	os.Exit(plane.Run(m, o, &cluster))
}

// build builds the program once, outside of the plane's network.
func build() (string, error) {
	dir := os.Getenv("SERIN_TEST_PROGRAM_DIR")
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "serin-cluster-"); err != nil {
			return "", err
		}
		if err := os.Setenv("SERIN_TEST_PROGRAM_DIR", dir); err != nil {
			return "", err
		}
	}
	to := filepath.Join(dir, "serin")
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "serin.dev/serin/cmd/serin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build serin: %w: %s", err, out)
	}
	return to, nil
}

func admin(t *testing.T) client.Client {
	t.Helper()
	if objects == nil {
		c, err := client.New(cluster.Admin, client.Options{Scheme: kube.Scheme()})
		if err != nil {
			t.Fatal(err)
		}
		objects = c
	}
	return objects
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
