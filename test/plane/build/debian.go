package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// fromDebian takes a program out of a Debian package. The package is only
// unpacked, never installed: installing would start a service.
func fromDebian(ctx context.Context, progress io.Writer, work, pkg, name string) (string, error) {
	hint := fmt.Errorf("or put a %s of your own on PATH", name)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.Join(fmt.Errorf("%s is taken from a Debian package, and this machine has no apt-get", name), hint)
	}
	fmt.Fprintf(progress, "test plane: fetching the Debian package of %s\n", name)
	download := func() error { return step(ctx, work, "apt-get", "download", pkg) }
	if err := download(); err != nil {
		// The list of packages may be missing, or older than the mirror.
		updated := step(ctx, work, "apt-get", "update")
		if err := download(); err != nil {
			return "", errors.Join(updated, err, hint)
		}
	}
	debs, err := filepath.Glob(filepath.Join(work, pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages in %s; want one", pkg, len(debs), work)
	}
	if err := step(ctx, work, "dpkg-deb", "-x", debs[0], "unpacked"); err != nil {
		return "", err
	}
	return filepath.Join(work, "unpacked", "usr", "bin", name), nil
}

func step(ctx context.Context, dir string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	return nil
}
