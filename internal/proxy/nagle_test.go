package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
)

// twoPieces answers as a simple server does, head and body apart. Patient is
// Nagle's algorithm: the body is held until the head is acknowledged.
func twoPieces(t *testing.T, patient bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.(*net.TCPConn).SetNoDelay(!patient)
				for r := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"); err != nil {
						return
					}
					if _, err := io.WriteString(c, "hello"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// A simple server's answers must not come later the longer its connection is
// in use: the busier arm would look like the slower version.
func TestABodyThatIsHeldForAnAcknowledgementDoesNotWait(t *testing.T) {
	took := func(patient bool) time.Duration {
		p := start(t, proxy.Config{}, only(twoPieces(t, patient)))
		client := &http.Client{}
		defer client.CloseIdleConnections()
		var begun time.Time
		for i := range 120 {
			if i == 60 {
				begun = time.Now() // the kernel is quick with a new connection
			}
			resp, err := client.Get("http://" + p.addr + "/")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		return time.Since(begun)
	}
	// The kernel holds an acknowledgement back each time, or never; what else keeps a
	// request waiting on a busy machine does not do so every time.
	for try := range 5 {
		quick, held := took(false), took(true)
		if held <= 10*quick {
			return
		}
		t.Logf("try %d: 60 requests took %v, where the backend does not wait %v", try+1, held, quick)
	}
	t.Error("the answers of a backend that holds them for acknowledgements come late")
}
