package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// SocketName is the name of a socket in its folder.
const SocketName = "serin.sock"

// DaemonSocket is where a daemon listens.
func DaemonSocket(state string) string { return filepath.Join(state, SocketName) }

// RunSocket is where a program that runs one rollout listens.
func RunSocket(state, rollout string) string {
	return filepath.Join(state, "rollouts", rollout, SocketName)
}

// ErrInUse is wrapped when another program listens at a socket.
var ErrInUse = errors.New("another serin listens here")

// Listen listens at a Unix socket that only this user can open. A socket that a
// killed program left behind is replaced. However long path is, it works.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (_ net.Listener, err error) {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	bound, err := bind(filepath.Clean(dir), name)
	if err != nil {
		return nil, err
	}
	return &listener{UnixListener: bound, path: path, lock: lock}, nil
}

// bind makes the socket in a folder that nobody else can enter and moves it to
// its place: it is never there with other permissions than its own, and takes
// an abandoned one's place in one step.
func bind(dir, name string) (*net.UnixListener, error) {
	private := filepath.Join(dir, ".socket-"+rand.Text()[:8])
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(private) }() // what is left of it is empty
	at, done, err := short(private, name)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	made := filepath.Join(private, name)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, filepath.Join(dir, name))); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// listener removes its socket while it still holds the lock, so that it never
// removes a successor's.
type listener struct {
	*net.UnixListener
	path string
	lock *os.File
	once sync.Once
	err  error
}

func (l *listener) Close() error {
	l.once.Do(func() {
		removed := os.Remove(l.path)
		if errors.Is(removed, fs.ErrNotExist) {
			removed = nil
		}
		l.err = errors.Join(l.UnixListener.Close(), removed, l.lock.Close())
	})
	return l.err
}

// dial connects to the socket at path, however long that is.
func dial(ctx context.Context, path string) (net.Conn, error) {
	dir, name := filepath.Split(path)
	at, done, err := short(filepath.Clean(dir), name)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", at)
}
