// Package shipped builds serin as it is shipped, for benches that measure the
// program itself.
package shipped

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Build writes the program to a path, as it is shipped.
func Build(ctx context.Context, to string) error {
	return BuildPackage(ctx, "serin.dev/serin/cmd/serin", to)
}

// BuildPackage does so with another program of this repository. It is a copy of
// what the linker wrote, as an installed program is: the linker writes in such
// large pieces that the kernel maps a fifth more of the file than is used.
func BuildPackage(ctx context.Context, pkg, to string) error {
	linked := to + ".linked"
	if err := link(ctx, pkg, linked); err != nil {
		return err
	}
	in, err := os.Open(linked)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	// Without the wrappers the file system might share the linker's blocks.
	_, err = io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{in})
	return errors.Join(err, out.Close(), os.Remove(linked))
}

func link(ctx context.Context, pkg, to string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
