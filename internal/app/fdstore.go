package app

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A service manager that keeps descriptors (systemd's file descriptor store)
// holds the listening sockets too. When this program crashes, is killed or
// restarted, whoever connects meanwhile waits for the next one instead of being
// refused. Whoever begins to serve puts the sockets in; whoever hands over takes
// them out.

// firstStored is the first descriptor that a manager passes on
// (SD_LISTEN_FDS_START).
const firstStored = 3

// stored returns the sockets that the service manager has kept, by rollout and
// the router's name for them.
func stored() map[string]map[string]*os.File {
	ours := os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(v) // they are for this program only
	}
	if !ours || err != nil {
		return nil
	}
	sockets := map[string]map[string]*os.File{}
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		unix.CloseOnExec(firstStored + i)
		f := os.NewFile(uintptr(firstStored+i), name)
		rollout, socket, ok := strings.Cut(name, "/")
		if !ok || sockets[rollout][socket] != nil {
			f.Close() // nothing that this program has put there
			continue
		}
		if sockets[rollout] == nil {
			sockets[rollout] = map[string]*os.File{}
		}
		sockets[rollout][socket] = f
	}
	return sockets
}

func storedName(rollout, socket string) string { return rollout + "/" + socket }

// keepSockets gives the service manager what this program listens on, instead of
// what it has kept from before.
func (d *daemon) keepSockets(before map[string]map[string]*os.File) {
	if d.so.Notify == nil {
		return
	}
	for rollout, sockets := range before {
		for socket := range sockets {
			d.notify("FDSTOREREMOVE=1\nFDNAME=" + storedName(rollout, socket))
		}
	}
	d.eachSocket(func(name string, f *os.File) {
		d.notify(fmt.Sprintf("FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name), f)
	})
}

// releaseSockets takes them out of its hands.
func (d *daemon) releaseSockets() {
	if d.so.Notify == nil {
		return
	}
	d.eachSocket(func(name string, _ *os.File) { d.notify("FDSTOREREMOVE=1\nFDNAME=" + name) })
}

func (d *daemon) eachSocket(do func(name string, f *os.File)) {
	for _, h := range d.homes {
		files, err := h.parts.Router.Files()
		if err != nil {
			d.program.opts.Logger.Warn("the service manager does not keep the sockets", "rollout", h.name(), "error", err)
			continue
		}
		for socket, f := range files {
			do(storedName(h.name(), socket), f)
			f.Close()
		}
	}
}
