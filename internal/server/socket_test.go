package server_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
