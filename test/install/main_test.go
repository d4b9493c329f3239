//go:build plane

package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/kubelet"
)

var (
	cluster *plane.Plane
	// program is the path of serin.
	program string
)

func TestMain(m *testing.M) { os.Exit(withProgram(m)) }

// withProgram builds serin and runs the tests beside a plane whose pods are
// ready at once.
func withProgram(m *testing.M) int {
	log.SetLogger(logr.Discard())
	if dir := os.Getenv("SERIN_TEST_PROGRAM_DIR"); dir != "" {
		program = filepath.Join(dir, "serin") // built before
	} else {
		dir, err := os.MkdirTemp("", "serin-install-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "serin")
		cmd := exec.Command("go", "build", "-o", program, "serin.dev/serin/cmd/serin")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build serin: %v\n%s", err, out)
			return 1
		}
	}
	routes, err := plane.GatewayAPI(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return plane.Run(m, plane.Options{Manifests: []string{routes}, Kubelet: &kubelet.Options{FakeReady: true}}, &cluster)
}

// told is what the program printed and how it ended.
type told struct {
	out, err string
	code     int
}

// serin runs the program as the administrator.
func serin(t *testing.T, args ...string) told {
	t.Helper()
	return serinWith(t, cluster.Kubeconfig, args...)
}

func serinWith(t *testing.T, kubeconfig string, args ...string) told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+t.TempDir(), "NO_COLOR=1")
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("serin %v: %v", args, err)
	}
	return told{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ends fails the test unless the program ended with a code.
func (r told) ends(t *testing.T, code int) told {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	return r
}

// says fails the test unless the program printed every text.
func (r told) says(t *testing.T, texts ...string) told {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("serin did not say %q but\n%s%s", text, r.out, r.err)
		}
	}
	return r
}

// as writes a kubeconfig of a user who has only the rights that RBAC gives.
func as(t *testing.T, user string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range config.AuthInfos {
		a.Impersonate, a.ImpersonateGroups = user, []string{"system:authenticated"}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := cluster.Kubectl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies a manifest as a user of kubectl does.
func apply(t *testing.T, manifest string) {
	t.Helper()
	if err := cluster.KubectlApply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
}

// admin is a client with every right.
func admin(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(cluster.Admin, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// namespace makes a namespace for a test.
func namespace(t *testing.T, name string) string {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	return name
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// gone asks whether an object is not there any more.
func gone(t *testing.T, kind, name string) func() error {
	return func() error {
		if out := kubectl(t, "get", kind, name, "--ignore-not-found", "-o", "name"); out != "" {
			return fmt.Errorf("%s is still there", strings.TrimSpace(out))
		}
		return nil
	}
}

// version is the one that the tests install.
const version = "v1.4.0"

// installed brings the cluster to an installation for all namespaces.
func installed(t *testing.T, args ...string) told {
	t.Helper()
	return serin(t, append([]string{"install", "--version", version}, args...)...).ends(t, 0)
}
