// Command make makes the test plane's programs ahead of the tests and prints
// the folder they are in, and the file of each.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"serin.dev/serin/test/plane/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	names := os.Args[1:]
	if len(names) == 0 {
		names = slices.Concat(build.ControlPlane, build.DataPlane)
	}
	files, err := build.Programs(ctx, os.Stderr, names...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, name := range names {
		fmt.Println(files[name])
	}
}
