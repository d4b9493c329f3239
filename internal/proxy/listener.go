package proxy

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Listen opens a TCP listener that can be handed over with File.
func Listen(addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return ln, nil
}

// File is the listener's socket, for a successor process (exec.Cmd.ExtraFiles)
// that takes it up with FromFile. Both accept from the same queue from then on,
// so no connection is refused between the two; the predecessor calls Shutdown
// when the successor is ready. The caller closes the file after the successor
// has started.
func File(ln net.Listener) (*os.File, error) {
	f, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("handing over listener %s: a %T has no file", ln.Addr(), ln)
	}
	file, err := f.File()
	if err != nil {
		return nil, fmt.Errorf("handing over listener %s: %w", ln.Addr(), err)
	}
	return file, nil
}

// FromFile is the listener in a file from a predecessor process. It closes the
// file.
func FromFile(f *os.File) (net.Listener, error) {
	defer func() { _ = f.Close() }()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("taking over listener %s: %w", f.Name(), err)
	}
	return ln, nil
}
