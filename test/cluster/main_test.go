//go:build plane

package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/plane"
)

var (
	cluster *plane.Plane
	// objects reads and writes as the administrator.
	objects = sync.OnceValues(func() (client.Client, error) {
		return client.New(cluster.Admin, client.Options{Scheme: kube.Scheme()})
	})
	// program is the serin that is tried.
	program string
)

// limit bounds what should take seconds on a quiet machine.
const limit = 2 * time.Minute

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sampleArg {
		os.Exit(sample(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == meshArg {
		os.Exit(serveMesh())
	}
	self, err := os.Executable()
	if err == nil {
		program, err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = flag.Set("test.parallel", "5") // what they do is mostly wait
	log.SetLogger(logr.Discard())
	o := plane.Full()
	o.Istio = true
	o.Kubelet.Programs = map[string][]string{"sample": {self, sampleArg}, "mesh": {self, meshArg}, "serin": {program}}
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
	c, err := objects()
	if err != nil {
		t.Fatal(err)
	}
	return c
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
		time.Sleep(200 * time.Millisecond) // several at a time ask one API server
	}
}
