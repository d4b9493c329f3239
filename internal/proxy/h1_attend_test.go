package proxy

import (
	"net"
	"testing"
	"time"
)

// TestASilentSocketIsAttendedLessAndLess: a backend that takes longer than
// attending pays costs a moment of attention ever more rarely, and the first
// answer in time brings attention back.
func TestASilentSocketIsAttendedLessAndLess(t *testing.T) {
	if !attends {
		t.Skip("sockets are attended on Linux alone")
	}
	near, far := tcpPair(t)
	requests := &succession{began: time.Now().Add(-time.Hour)}
	s, err := newSocket(near, requests)
	if err != nil {
		t.Fatal(err)
	}
	// attended is how many of the next waits are.
	attend := func() (came bool) {
		_ = s.raw.Control(func(fd uintptr) { came = s.attendant.attend(fd) })
		return came
	}
	const waits = 2000
	attended := 0
	for range waits {
		resting := s.attendant.rest > 0
		if attend() {
			t.Fatal("nothing was sent, and something is said to have come")
		}
		if !resting {
			attended++
		}
	}
	if attended < 9 || attended > 17 {
		t.Errorf("%d of %d waits for a silent socket were attended; wanted 1 of 257 in the long run, after a few at first", attended, waits)
	}

	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if !seen(func() bool { s.attendant.rest = 0; return attend() }) {
		t.Fatal("something came, and was not seen")
	}
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	attend()
	if s.attendant.rest != firstRest {
		t.Errorf("after an answer in time the next one in vain rests %d waits, wanted %d", s.attendant.rest, firstRest)
	}
}

// TestOnlyASingleConnectionIsAttended: with requests on several connections there
// is always somebody else to serve.
func TestOnlyASingleConnectionIsAttended(t *testing.T) {
	if !attends {
		t.Skip("sockets are attended on Linux alone")
	}
	near, far := tcpPair(t)
	requests := &succession{began: time.Now().Add(-time.Hour)}
	s, err := newSocket(near, requests)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	attend := func(after time.Duration) (came bool) {
		requests.request(&clientConn{}, time.Now().Add(-after))
		_ = s.raw.Control(func(fd uintptr) { came = s.attendant.attend(fd) })
		return came
	}
	if attend(-time.Minute) { // as if no time went by between the two calls
		t.Error("attended just after a request on another connection")
	}
	if !seen(func() bool { s.attendant.rest = 0; return attend(time.Minute) }) {
		t.Error("not attended although one connection has had all requests for a minute")
	}
}

// seen attends again and again: a moment of attention passes without a look where
// somebody else has the processor meanwhile.
func seen(attend func() bool) bool {
	for range 1000 {
		if attend() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close(); _ = accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}
