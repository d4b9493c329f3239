package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// relayBuffers are what a request needs while it is served.
type relayBuffers struct {
	in  [responseBuffer]byte
	out []byte
}

func newRelayBuffers() any { return &relayBuffers{out: make([]byte, 0, firstBuffer)} }

// errRerouted: the weight fell to 0 while the canary was being connected to.
var errRerouted = errors.New("rerouted")

// relay is one try of one request at one backend.
type relay struct {
	client *clientConn
	x      *exchange
	method string
	last   bool          // the client's connection ends with this answer
	bufs   *relayBuffers // from the first byte of an answer on

	up     *upstream
	conn   *backendConn
	reused bool

	answering    bool // something has been sent to the client
	clientFailed bool // sending it failed
	complete     bool // the response was read to its end: the backend's connection serves on

	patient    bool        // waiting for long already
	clientGone atomic.Bool // seen while waiting
	watching   chan struct{}
}

// send writes the request.
func (r *relay) send(head, body []byte, fresh bool) error {
	up := r.x.at.up
	if r.up = up; up.pool == nil {
		// The backends have changed meanwhile; the next request goes another way.
		return &errConnect{errors.New("not reachable by plain HTTP/1.1")}
	}
	conn, err := up.pool.get(time.Now(), patience, fresh)
	if err != nil {
		return err
	}
	r.conn, r.reused = conn, conn.reused
	if !conn.reused {
		up.connected()
		if r.x.reroute() {
			r.complete = true // nothing was sent on it
			return errRerouted
		}
	}
	if len(body) > 0 {
		head = append(head, body...)
		r.client.out = head[:len(head)-len(body)]
	}
	// A failure to write shows again when the answer is read, and there may be an
	// answer all the same: a backend may refuse a request before its end.
	_ = conn.ask(head)
	// Buffers are for what can be read, not for what is waited for: so few are in
	// use, and those stay in the processor's cache.
	r.bufs = r.client.p.server.buffers.Get().(*relayBuffers)
	return nil
}

// read reads from the backend. The first time that it takes long, a watch is set
// on the client; a plain request costs none.
func (r *relay) read(p []byte) (int, error) {
	for {
		n, err := r.conn.Read(p)
		if n > 0 || err == nil || r.patient || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		r.patient = true
		limit := time.Time{} // a response's body may take its time
		if !r.answering {
			limit = r.x.start.Add(r.client.p.cfg.ResponseHeaderTimeout)
		}
		if err := r.conn.SetReadDeadline(limit); err != nil {
			return 0, err
		}
		r.watch()
	}
}

// watch looks for the client's going away until end is called, and then makes the
// waiting for the backend end.
func (r *relay) watch() {
	if r.client.SetReadDeadline(time.Time{}) != nil {
		r.abandon() // closed by shutdown
		return
	}
	r.watching = make(chan struct{})
	go func() {
		defer close(r.watching)
		gone := false
		err := r.client.raw.Read(func(fd uintptr) bool {
			var one [1]byte
			n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				return false // wait for more
			}
			gone = err != nil || n == 0
			return true
		})
		if gone || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			r.abandon()
		}
	}()
}

// abandon makes the waiting for the backend end: nobody wants the answer.
func (r *relay) abandon() {
	r.clientGone.Store(true)
	_ = r.conn.SetReadDeadline(longAgo)
}

var longAgo = time.Unix(1, 0)

// unlimit lets the response's body take its time, once its head is there.
func (r *relay) unlimit() error {
	if !r.patient {
		return nil // there is no limit yet, only patience
	}
	err := r.conn.SetReadDeadline(time.Time{})
	if r.clientGone.Load() {
		r.abandon() // the watch may have been faster
	}
	return err
}

// end stops the watch and gives the backend's connection back, or closes it.
func (r *relay) end() {
	if r.watching != nil {
		_ = r.client.SetReadDeadline(longAgo)
		<-r.watching
		_ = r.client.SetReadDeadline(time.Now().Add(r.client.p.cfg.IdleTimeout))
	}
	if r.bufs != nil {
		r.client.p.server.buffers.Put(r.bufs)
		r.bufs = nil
	}
	if r.conn == nil {
		return
	}
	if r.complete && !r.clientGone.Load() {
		r.up.pool.put(r.conn, time.Now())
	} else {
		_ = r.conn.Close()
	}
}

// write sends to the client.
func (r *relay) write(p []byte) error {
	r.answering = true
	if _, err := r.client.Write(p); err != nil {
		r.clientFailed = true
		return err
	}
	return nil
}

// writeBoth sends two pieces in one system call.
func (r *relay) writeBoth(head, body []byte) error {
	r.answering = true
	if err := r.client.writeBoth(head, body); err != nil {
		r.clientFailed = true
		return err
	}
	return nil
}

// isLast decides, when the answer's head is written, whether it says that the
// connection ends.
func (r *relay) isLast() bool {
	r.last = r.last || r.client.p.server.draining.Load()
	return r.last
}

// receive passes the response on.
func (r *relay) receive() error {
	in, filled := r.bufs.in[:], 0
	for {
		n, err := r.read(in[filled:])
		filled += n
		if filled == 0 && err != nil {
			return err
		}
		head, out, state := readResponseHead(r.method, in[:filled], r.bufs.out[:0])
		r.bufs.out = out[:0]
		switch {
		case state == plain:
			return r.pass(&head, out, in, filled)
		case state == special:
			return r.passAny(in[:filled])
		case errors.Is(err, io.EOF) || filled == len(in):
			return errMalformed
		case err != nil:
			return err
		}
		r.conn.acknowledge() // half a head
	}
}

// smallPiece is the most of an answer behind which the rest may be waiting for an
// acknowledgement: more makes the kernel acknowledge by itself.
const smallPiece = 2 << 10

// pass passes a plain response on: its head as rewritten in out, its body as far
// as it is in in[:filled] and what is still to come.
func (r *relay) pass(h *responseHead, out, in []byte, filled int) error {
	r.x.answered(h.status, h.eventStream)
	if !h.dated {
		out = time.Now().UTC().AppendFormat(append(out, "Date: "...), http.TimeFormat+"\r\n")
	}
	if r.isLast() {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)

	// A backend often sends head and body apart. What is there already goes with
	// the head.
	for filled < len(in) && int64(filled-h.size) < h.length {
		n, _ := r.conn.tryRead(in[filled:]) // an error shows again below
		if n == 0 {
			break
		}
		filled += n
	}
	body := in[h.size:filled]
	extra := int64(len(body)) > h.length
	if extra {
		body = body[:h.length] // more than was announced is not part of it
	}
	var err error
	if len(body) > firstBuffer {
		err = r.writeBoth(out, body)
	} else {
		out = append(out, body...)
		err = r.write(out)
	}
	r.bufs.out = out[:0]
	if err != nil {
		return err
	}
	r.x.out.bytesOut += uint64(len(body))
	left := h.length - int64(len(body))
	if left > 0 {
		if err := r.unlimit(); err != nil {
			return err
		}
	}
	if left > 0 && filled < smallPiece {
		r.conn.acknowledge()
	}
	for left > 0 {
		n, err := r.read(in[:min(left, int64(len(in)))])
		if n > 0 {
			if err := r.write(in[:n]); err != nil {
				return err
			}
			left -= int64(n)
			r.x.out.bytesOut += uint64(n)
		}
		if err != nil && left > 0 {
			return err
		}
	}
	r.complete = !h.close && !extra
	return nil
}
