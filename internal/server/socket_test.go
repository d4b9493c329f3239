package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/server"
)

func TestOnlyTheOwnerCanOpenTheSocket(t *testing.T) {
	_, socket := listen(t, newProgram(t))
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("%v, %v; want a socket of mode 0600", info.Mode(), err)
	}
	dir, err := os.Stat(filepath.Dir(socket))
	if err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want a folder of mode 0700", dir.Mode(), err)
	}
}

func TestASocketsPathMayBeLong(t *testing.T) {
	socket := filepath.Join(t.TempDir(), strings.Repeat("long/", 40), "serin.sock")
	if len(socket) < 200 {
		t.Fatal("the path is not long")
	}
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, newProgram(t))
	c, err := server.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if all, err := c.Rollouts(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestASocketThatAKilledProgramLeftIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "serin.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := server.Dial(t.Context(), socket); !errors.Is(err, server.ErrNobody) {
		t.Errorf("dial the socket that was left: %v, want nobody", err)
	}
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, newProgram(t))
	c, err := server.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestTwoProgramsDoNotShareASocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "serin.sock")
	first, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Listen(socket); !errors.Is(err, server.ErrInUse) || !strings.Contains(err.Error(), socket) {
		t.Errorf("a second listener: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(socket))
	if err != nil || len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".lock") {
		t.Errorf("left behind %v, %v; want the lock alone", entries, err)
	}
	second, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestASocketWhoseFolderIsMissingHasNobody(t *testing.T) {
	if _, err := server.Dial(t.Context(), filepath.Join(t.TempDir(), "none", "serin.sock")); !errors.Is(err, server.ErrNobody) {
		t.Errorf("%v, want nobody", err)
	}
}

// The socket is closed under whoever serves: the API answers there again.
func TestAnAPIThatEndsByItselfIsServedAgain(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "serin.sock")
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var log bytes.Buffer
	go func() {
		defer close(ended)
		server.Keep(ctx, l, socket, server.New(newProgram(t), "test"), slog.New(slog.NewTextHandler(&log, nil)))
	}()
	answers := func() bool {
		c, err := server.Dial(t.Context(), socket)
		if err != nil {
			return false
		}
		defer c.Close()
		all, err := c.Rollouts(t.Context())
		return err == nil && len(all) == 1
	}
	if !answers() {
		t.Fatal("nobody answers")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); !answers(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("nobody answers again")
		}
	}
	stop()
	<-ended
	if !strings.Contains(log.String(), "the API does not answer") || !strings.Contains(log.String(), socket) {
		t.Errorf("the log does not tell of it: %s", &log)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
