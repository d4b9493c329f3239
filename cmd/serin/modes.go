package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/cli"
	"serin.dev/serin/internal/demo"
	"serin.dev/serin/internal/server"
)

func stateDir() (string, error) { return app.StateDir() }

func readOnly(ctx context.Context, state string) (server.Backend, func() error, error) {
	// Reading must not make a state folder.
	if _, err := os.Stat(state); err != nil {
		return nil, nil, fmt.Errorf("read the state folder: %w", err)
	}
	return app.ReadOnly(ctx, app.Options{State: state})
}

func run(ctx context.Context, o cli.RunOptions) (cli.RunEnd, error) {
	result, err := app.Run(ctx, app.Options{State: o.State, Logger: o.Logger}, o.File, app.RunOptions{
		Keep: o.Keep, WaitTimeout: o.WaitTimeout, Unattended: o.Unattended, Version: version, Actor: o.Actor,
		Started: o.Begun, Ended: o.Ended,
	})
	return cli.RunEnd{Run: result.Run, Waited: result.Waited}, err
}

func serve(ctx context.Context, o cli.ServeOptions) error {
	return app.Serve(ctx, app.Options{State: o.State, Logger: o.Logger}, o.Dir, app.ServeOptions{
		Version: version, Ready: o.Ready, Handover: o.Reload, Notify: serviceManager(),
	})
}

func demonstrate(ctx context.Context, o cli.DemoOptions) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	return demo.Run(ctx, demo.Options{
		Out: o.Out, Terminal: o.Terminal, Color: o.Color, Size: o.Size,
		Program: program, Dir: o.Dir, Seed: o.Seed, Stay: o.Stay,
		Serve: func(ctx context.Context, state, dir string, ready func(map[string]string)) error {
			return app.Serve(ctx, app.Options{State: state}, dir, app.ServeOptions{Version: version, Ready: ready})
		},
	})
}

// serviceManager returns how to tell a service manager such as systemd of this
// program's state, and to keep its descriptors; nil when there is none.
func serviceManager() func(state string, keep ...*os.File) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	return func(state string, keep ...*os.File) {
		// Not connected: only then can descriptors be sent along.
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
		if err != nil {
			return // it watches the process itself too
		}
		defer func() { _ = c.Close() }()
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _, _ = c.WriteMsgUnix([]byte(state), rights(keep), &net.UnixAddr{Name: address, Net: "unixgram"})
	}
}

// rights is the message that passes descriptors on, nil for none. Their files stay
// as they are: Fd would make accepting on them block.
func rights(files []*os.File) []byte {
	var fds []int
	for _, f := range files {
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
	}
	if fds == nil {
		return nil
	}
	return unix.UnixRights(fds...)
}

// code is the exit code that an error of a mode stands for.
func code(err error) int {
	switch {
	case errors.Is(err, app.ErrConfig):
		return 4
	case errors.Is(err, app.ErrUnreachable):
		return 5
	}
	return 0
}
