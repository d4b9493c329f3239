package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// slowListener does not accept before it may, as on a busy machine.
type slowListener struct {
	*net.TCPListener
	may chan struct{}
}

func (l *slowListener) Accept() (net.Conn, error) {
	<-l.may
	return l.TCPListener.Accept()
}

// A connection that the kernel has made and nobody has accepted yet is a client's
// all the same, with its request on the wire.
func TestShutdownAnswersConnectionsThatWait(t *testing.T) {
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer o.Close()
	p, err := New(Config{DrainGrace: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Update(Split{Stable: []Backend{{Name: "stable", URL: o.URL}}}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowListener{TCPListener: ln.(*net.TCPListener), may: make(chan struct{})}
	served, ended := make(chan error, 1), make(chan error, 1)
	go func() { served <- p.Serve(slow) }()
	for serving := false; !serving; {
		p.server.mu.Lock()
		serving = len(p.server.listeners) == 1
		p.server.mu.Unlock()
		time.Sleep(time.Millisecond)
	}

	clients := make([]net.Conn, 0, 20)
	for range cap(clients) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { ended <- p.Shutdown(ctx) }()
	for !p.server.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	close(slow.may)

	for n, c := range clients {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("client %d waited to be accepted and was cut: %v", n, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusTeapot || !resp.Close {
			t.Errorf("client %d got %d, told to go elsewhere: %t", n, resp.StatusCode, resp.Close)
		}
	}
	if err := <-ended; err != nil {
		t.Error("Shutdown:", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error("Serve:", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("a client after the end:", err)
	}
}
