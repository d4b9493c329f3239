package plane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"serin.dev/serin/test/plane/build"
)

// PodNetwork holds the addresses of pods and of what serves them. In the
// plane's own network every address of it is this machine.
const PodNetwork = "10.88.0.0/16"

// nodeAddress is the test kubelet's in the plane's own network.
const nodeAddress = "10.88.0.1"

// entered is set for a process that is in a network of its own. Its value is
// the process outside that the network ends with.
const entered = "TEST_PLANE_ENTERED"

// Enter makes sure that this process is in a network of its own, where it can
// have the addresses of pods and from where nothing gets out. The first time it
// makes what needs the network outside and then starts this program again from
// its beginning, inside; it returns there. Everything ends with the program.
func Enter(ctx context.Context, o Options) error {
	if os.Getenv(entered) != "" {
		for _, argv := range [][]string{
			{"ip", "link", "set", "lo", "up"},
			{"ip", "route", "add", "local", PodNetwork, "dev", "lo"},
		} {
			if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("set up the plane's network: %v: %w: %s", argv, err, out)
			}
		}
		return nil
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	if _, err := build.Programs(ctx, o.Progress, o.programs()...); err != nil {
		return err
	}
	if _, err := o.manifests(ctx); err != nil {
		return err
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return fmt.Errorf("make a network for the plane: %w; install util-linux", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := []string{"unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if os.Getuid() != 0 {
		argv = append(argv, "--map-root-user")
	}
	argv = append(append(argv, "--", self), os.Args[1:]...)
	env := append(os.Environ(), entered+"="+strconv.Itoa(os.Getpid()))
	return fmt.Errorf("make a network for the plane: %w", syscall.Exec(unshare, argv, env))
}

// EnterScript writes a script that runs a command inside the plane's network,
// as its administrator, for somebody who is outside of it.
func (p *Plane) EnterScript(path string) error {
	outside := os.Getenv(entered)
	if outside == "" {
		return fmt.Errorf("write %s: this process is not in a network of its own", path)
	}
	user := ""
	if ownUsers() {
		user = "--user --preserve-credentials "
	}
	script := fmt.Sprintf(`#!/bin/sh
# Runs a command inside the test plane's network: %[1]s kubectl get pods
set -e
inside=$(pgrep -P %[2]s | head -n 1)
[ -n "$inside" ] || { echo "the plane has ended" >&2; exit 1; }
export KUBECONFIG=%[3]q PATH=%[4]q:"$PATH"
exec nsenter %[5]s--net --pid --mount --wd="$PWD" --target "$inside" -- "$@"
`, path, outside, p.Kubeconfig, filepath.Dir(p.programs[build.Kubectl]), user)
	return os.WriteFile(path, []byte(script), 0o755)
}

// ownUsers says whether the namespace has users of its own, as when it was made
// by somebody who is not root.
func ownUsers() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && len(strings.Fields(string(b))) == 3 && strings.Fields(string(b))[2] == "1"
}
