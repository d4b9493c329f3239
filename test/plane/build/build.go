// Package build makes the programs that the test plane runs: etcd, the
// Kubernetes control plane, kubectl and Traefik from the Go module proxy,
// Prometheus from Debian. They are made once and kept in the user's cache
// folder. It must not know how they are run.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The programs by the names of their files.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
	Traefik           = "traefik"
	Prometheus        = "prometheus"
	Promtool          = "promtool"
)

// ControlPlane are the programs of a control plane, in the order in which they
// are built.
var ControlPlane = []string{Etcd, APIServer, ControllerManager, Kubectl}

// DataPlane are the programs that carry and measure traffic.
var DataPlane = []string{Traefik, Prometheus}

// Programs finds the programs of the given names and makes those that are
// missing, which takes minutes the first time. It returns the file of each.
// What happens is told to progress.
//
// A program in the folder KUBEBUILDER_ASSETS is used as it is. When several
// processes want the same program, one makes it and the others wait.
func Programs(ctx context.Context, progress io.Writer, names ...string) (map[string]string, error) {
	found := map[string]string{}
	var missing []string
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if path := existing(dir, name); path != "" {
			found[name] = path
			continue
		}
		missing = append(missing, name)
	}
	if len(missing) == 0 {
		return found, nil
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"), progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, name := range missing {
		path := existing(dir, name) // another process may have made it meanwhile
		if path == "" {
			if path, err = produce(ctx, progress, dir, name); err != nil {
				return nil, err
			}
		}
		found[name] = path
	}
	return found, nil
}

// Dir returns the folder in which the programs of this source tree's versions
// are kept, and makes it.
func Dir() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	versions := sha256.New()
	for _, m := range []string{"", "traefik"} {
		for _, file := range []string{"go.mod", "go.sum"} {
			b, err := os.ReadFile(filepath.Join(tools(root), m, file))
			if err != nil {
				return "", fmt.Errorf("read the versions of the test plane's programs: %w", err)
			}
			versions.Write(b)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "serin", "plane", hex.EncodeToString(versions.Sum(nil))[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for the test plane's programs: %w", err)
	}
	return dir, nil
}

// Root returns the top folder of Serin's source, in which the process must run.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module serin.dev/serin\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find Serin's source: neither the working folder nor one above it has its go.mod; run this inside a checkout")
		}
		dir = up
	}
}

func tools(root string) string { return filepath.Join(root, "test", "plane", "tools") }

// existing returns the file of a program that need not be made; empty when
// there is none.
func existing(dir, name string) string {
	folders := []string{dir}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		folders = []string{assets, dir}
	}
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	if name == Prometheus || name == Promtool {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// produce makes one program in a folder beside its place and moves it there
// when it is complete.
func produce(ctx context.Context, progress io.Writer, dir, name string) (string, error) {
	started := time.Now()
	work, err := os.MkdirTemp(dir, ".making-")
	if err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	defer os.RemoveAll(work)
	made := ""
	if name == Prometheus || name == Promtool {
		made, err = fromDebian(ctx, progress, work, "prometheus", name)
	} else {
		made, err = fromSource(ctx, progress, work, name)
	}
	if err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	if err := os.Rename(made, path); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	fmt.Fprintf(progress, "test plane: %s is ready after %s\n", name, time.Since(started).Round(time.Second))
	return path, nil
}

// lock waits until this process alone holds the file, and returns how to let
// it go. The lock ends with the process.
func lock(ctx context.Context, path string, progress io.Writer) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the test plane's programs: %w", err)
	}
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			fmt.Fprintln(progress, "test plane: another process is making the programs; waiting for it")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another process to make the test plane's programs: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
