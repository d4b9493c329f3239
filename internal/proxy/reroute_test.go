package proxy_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
)

// crowded is a listener whose queue is full: connecting to it hangs until admit
// takes what is in front.
type crowded struct {
	net.Listener
	front []net.Conn
}

func newCrowded(t *testing.T) *crowded {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	fatalf(t, err, "socket")
	fatalf(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), "bind")
	fatalf(t, syscall.Listen(fd, 0), "listen")
	file := os.NewFile(uintptr(fd), "crowded")
	ln, err := net.FileListener(file)
	file.Close()
	fatalf(t, err, "listener")
	c := &crowded{Listener: ln}
	t.Cleanup(func() {
		ln.Close()
		for _, conn := range c.front {
			conn.Close()
		}
	})
	for {
		conn, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return c
		}
		fatalf(t, err, "crowding the queue")
		c.front = append(c.front, conn)
	}
}

// A rollback also catches the requests that are just connecting to the canary.
func TestARequestStillConnectingIsReroutedByARollback(t *testing.T) {
	canary := newCrowded(t)
	stable := origin(t, named("stable"))
	p := start(t, proxy.Config{DialTimeout: 8 * time.Second}, both(100, stable.URL, "http://"+canary.Addr().String()))
	got := make(chan string, 1)
	client := newClient(t)
	go func() {
		resp, err := client.Get(p.url("/"))
		if err != nil {
			got <- err.Error()
			return
		}
		resp.Body.Close()
		got <- resp.Header.Get("X-Origin")
	}()
	eventually(t, "the request is under way", func() bool { return p.Inflight(proxy.Canary) == 1 })
	time.Sleep(50 * time.Millisecond)
	fatalf(t, p.Update(both(0, stable.URL, "http://"+canary.Addr().String())), "update")

	// Now the canary accepts: first those who crowded it, then the proxy.
	sent := make(chan string, 64)
	go func() {
		for {
			conn, err := canary.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
				buf := make([]byte, 1000)
				if n, _ := conn.Read(buf); n > 0 {
					sent <- string(buf[:n])
				}
			}()
		}
	}()
	if name := <-got; name != "stable" {
		t.Fatalf("answered by %q", name)
	}
	select {
	case text := <-sent:
		t.Fatalf("the canary got a request after the rollback: %q", text)
	default:
	}
	s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests == 1 })
	if s.Canary.Requests != 0 || s.Canary.Errors != 0 || p.Inflight(proxy.Canary) != 0 || s.Stable.Errors != 0 {
		t.Errorf("counted %s", fmt.Sprint(s.Canary.Requests, s.Canary.ErrorsByClass, p.Inflight(proxy.Canary), s.Stable.ErrorsByClass))
	}
}
