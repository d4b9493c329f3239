package build

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is where a program's source is.
type module struct {
	// dir is below test/plane/tools.
	dir string
	// pkg is the main package.
	pkg string
	// flags are for the linker.
	flags string
}

// kubernetesVersion makes the programs tell their real version, as the
// release's own build does. It is the version in test/plane/tools/go.mod.
const kubernetesVersion = "1.37.2"

func moduleOf(name string) (module, bool) {
	part := strings.Split(kubernetesVersion, ".")
	const v = "k8s.io/component-base/version."
	flags := fmt.Sprintf("-X %sgitVersion=v%s -X %sgitMajor=%s -X %sgitMinor=%s", v, kubernetesVersion, v, part[0], v, part[1])
	m, ok := map[string]module{
		Etcd:              {pkg: "go.etcd.io/etcd/server/v3"},
		APIServer:         {pkg: "k8s.io/kubernetes/cmd/kube-apiserver", flags: flags},
		ControllerManager: {pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", flags: flags},
		Kubectl:           {pkg: "k8s.io/kubernetes/cmd/kubectl", flags: flags},
		Traefik:           {dir: "traefik", pkg: "github.com/traefik/traefik/v3/cmd/traefik"},
	}[name]
	return m, ok
}

// fromSource builds a program in the folder work with the Go command, at a low
// priority: the build is long and the machine is somebody's.
func fromSource(ctx context.Context, progress io.Writer, work, name string) (string, error) {
	m, ok := moduleOf(name)
	if !ok {
		return "", fmt.Errorf("there is no such program; known are %s", strings.Join(append(append([]string{}, ControlPlane...), DataPlane...), ", "))
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(progress, "test plane: building %s, once; from nothing, all programs together take about ten minutes on two processors\n", name)
	out := filepath.Join(work, name)
	cmd := exec.CommandContext(ctx, "nice", "-n", "5", "go", "build", "-v", "-p", "2", "-trimpath", "-ldflags", "-s -w "+m.flags, "-o", out, m.pkg)
	cmd.Dir = filepath.Join(tools(root), m.dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	said := follow(stderr, progress, name)
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", m.pkg, err, said)
	}
	return out, nil
}

// follow tells now and then how many packages are built, and returns the last
// lines that the Go command said, which hold the error if there is one.
func follow(r io.Reader, progress io.Writer, name string) string {
	const kept = 20
	var last []string
	packages, next := 0, time.Now().Add(15*time.Second)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		last = append(last, lines.Text())
		last = last[max(0, len(last)-kept):]
		packages++
		if time.Now().After(next) {
			fmt.Fprintf(progress, "test plane: %s: %d packages, now %s\n", name, packages, lines.Text())
			next = time.Now().Add(15 * time.Second)
		}
	}
	return strings.Join(last, "\n")
}
