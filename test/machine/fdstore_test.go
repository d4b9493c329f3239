package machine

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/test/plane/ports"
)

// manager is a service manager that keeps descriptors, as systemd does.
type manager struct {
	socket *net.UnixConn
	mu     sync.Mutex
	kept   map[string]*os.File
}

func newManager(t *testing.T, h *home) *manager {
	t.Helper()
	address := &net.UnixAddr{Name: filepath.Join(h.dir, "notify"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{socket: socket, kept: map[string]*os.File{}}
	h.env = append(h.env, "NOTIFY_SOCKET="+address.Name)
	var done sync.WaitGroup
	done.Go(m.listen)
	t.Cleanup(func() {
		socket.Close()
		done.Wait()
		for _, f := range m.kept {
			f.Close()
		}
	})
	return m
}

func (m *manager) listen() {
	text, rights := make([]byte, 4096), make([]byte, 4096)
	for {
		n, rn, _, _, err := m.socket.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		m.hear(string(text[:n]), rights[:rn])
	}
}

func (m *manager) hear(text string, rights []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	name := values["FDNAME"]
	if values["FDSTOREREMOVE"] == "1" && m.kept[name] != nil {
		m.kept[name].Close()
		delete(m.kept, name)
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return
	}
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			m.kept[name] = os.NewFile(uintptr(fd), name)
		}
	}
}

func (m *manager) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.kept {
		names = append(names, name)
	}
	return names
}

// start starts serin with what is kept: a process that knows its number passes
// it on and becomes serin.
func (m *manager) start(h *home, args ...string) *program {
	m.mu.Lock()
	defer m.mu.Unlock()
	names, files := []string{}, []*os.File{}
	for name, f := range m.kept {
		names, files = append(names, name), append(files, f)
	}
	before := h.env
	defer func() { h.env = before }()
	h.env = append(h.env, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return h.startBy([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, files, args...)
}

// A daemon that is killed is started again a second later: whoever connected
// meanwhile has waited, and nobody was refused.
func TestTheServiceManagerKeepsTheSockets(t *testing.T) {
	h := newHome(t)
	m := newManager(t, h)
	h.write(plan{})
	serve := m.start(h, "serve", "-f", filepath.Dir(h.file))
	serve.says("users are served at")
	for range 2 {
		eventually(t, "the manager to keep the proxy's socket", func() bool { return len(m.names()) == 1 })
		serve.kill()
		var users sync.WaitGroup
		errs := make(chan error, 20)
		for range cap(errs) {
			users.Go(func() { errs <- fresh("http://" + h.addr + "/") })
		}
		time.Sleep(time.Second)
		serve = m.start(h, "serve", "-f", filepath.Dir(h.file))
		users.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	}
	// What is not listened on any more is not kept.
	h.addr = ports.Keep(t)
	h.write(plan{})
	serve.kill()
	serve = m.start(h, "serve", "-f", filepath.Dir(h.file))
	serve.says("users are served at")
	eventually(t, "the manager to keep the new socket", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, f := range m.kept {
			if ln, err := net.FileListener(f); err == nil {
				defer ln.Close()
				return ln.Addr().String() == h.addr && len(m.kept) == 1
			}
		}
		return false
	})
	if err := fresh("http://" + h.addr + "/"); err != nil {
		t.Error(err)
	}
}

// fresh asks once, on a connection of its own.
func fresh(url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}
