package proxy

import (
	"io"
	"net"
	"syscall"
)

// socket is a TCP connection as the direct path uses it: by system calls of which
// Go's scheduler is not told. They never wait, so it need not know. Told of them it
// wakes its monitor thread at the first one after every pause, which costs a lightly
// loaded proxy as many switches of threads again as the traffic itself (ADR 2).
// Waiting, deadlines and closing are the net package's.
//
// One goroutine reads and one writes at a time.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn

	// The call under way.
	in        []byte
	out, more []byte
	n         int
	err       error
	sent      bool
	full      bool // the kernel took no more without waiting

	// The functions for raw, made once.
	reading, trying, writing, asking func(fd uintptr) bool
	acknowledging                    func(fd uintptr)

	attendant attendant
}

// newSocket makes a socket of a proxy whose requests are watched by requests.
func newSocket(c *net.TCPConn, requests *succession) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{TCPConn: c, raw: raw, attendant: attendant{requests: requests, next: firstRest}}
	s.reading = func(fd uintptr) bool { return s.readNow(fd) || s.attendant.attend(fd) && s.readNow(fd) }
	s.trying = func(fd uintptr) bool { s.readNow(fd); return true }
	s.acknowledging = acknowledgeAtOnce
	s.writing = func(fd uintptr) bool { return s.writeNow(fd) }
	s.asking = func(fd uintptr) bool {
		if s.sent {
			return true // something came
		}
		s.sent = true
		s.full = !s.writeNow(fd)
		return s.full || s.err != nil || s.attendant.attend(fd)
	}
	return s, nil
}

// readNow reads once and says whether that did not have to wait.
func (s *socket) readNow(fd uintptr) bool {
	var errno syscall.Errno
	s.n, errno = readAtOnce(fd, s.in)
	switch {
	case errno == syscall.EAGAIN:
		return false
	case errno != 0:
		s.err = errno
	case s.n == 0:
		s.err = io.EOF
	}
	return true
}

// writeNow writes what is left of out and more, and says whether it did not have
// to wait.
func (s *socket) writeNow(fd uintptr) bool {
	for len(s.out)+len(s.more) > 0 {
		n, errno := writeAtOnce(fd, s.out, s.more)
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			s.err = errno
			return true
		}
		first := min(n, len(s.out))
		s.out, s.more = s.out[first:], s.more[n-first:]
	}
	return true
}

// Read is of a plain net.Conn.
func (s *socket) Read(p []byte) (int, error) { return s.read(p, s.reading) }

// tryRead reads what is there already: 0 and no error when nothing is.
func (s *socket) tryRead(p []byte) (int, error) { return s.read(p, s.trying) }

func (s *socket) read(p []byte, how func(uintptr) bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in, s.n, s.err = p, 0, nil
	err := s.raw.Read(how)
	s.in = nil
	if err == nil {
		err = s.err
	}
	return s.n, err
}

// acknowledge has the kernel acknowledge now what was received. A peer that sends
// an answer in two small pieces, as simple servers do, may hold the second until
// the first is acknowledged (Nagle's algorithm), and the kernel delays that by up
// to 40 ms on a connection that has been in use for a while.
func (s *socket) acknowledge() { _ = s.raw.Control(s.acknowledging) }

// Write is of a plain net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.writeBoth(p, nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeBoth writes two pieces with one system call.
func (s *socket) writeBoth(p, q []byte) error {
	s.out, s.more, s.err = p, q, nil
	err := s.raw.Write(s.writing)
	s.out, s.more = nil, nil
	if err == nil {
		err = s.err
	}
	return err
}

// ask writes p and waits until something can be read, or the read deadline. That
// it waits is known to the poller before p goes, so the read that would find
// nothing is saved. A failure to write is returned; the deadline is no failure:
// reading finds it again.
func (s *socket) ask(p []byte) error {
	s.out, s.err, s.sent, s.full = p, nil, false, false
	_ = s.raw.Read(s.asking)
	if !s.sent || s.full { // the deadline was over before, or p is large
		_ = s.raw.Write(s.writing)
	}
	s.out = nil
	return s.err
}
