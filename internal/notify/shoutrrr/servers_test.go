package shoutrrr_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// webhook is an HTTP server that records what is posted to it.
type webhook struct {
	addr    string
	release chan struct{}

	mu     sync.Mutex
	bodies []string
}

// newWebhook starts a server on loopback. What it answers is said by its
// handler, which gets the body; hang makes it wait for the test's end.
func newWebhook(t *testing.T, handler func(w http.ResponseWriter, r *http.Request, body string, hang func())) *webhook {
	t.Helper()
	hook := &webhook{release: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hook.mu.Lock()
		hook.bodies = append(hook.bodies, string(body))
		hook.mu.Unlock()
		handler(w, r, string(body), func() { <-hook.release })
	}))
	t.Cleanup(func() {
		close(hook.release)
		s.Close()
	})
	hook.addr = s.Listener.Addr().String()
	return hook
}

func (h *webhook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.bodies...)
}

type answer = func(http.ResponseWriter, *http.Request, string, func())

func answering(status int) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ string, _ func()) { w.WriteHeader(status) }
}

func hanging(_ http.ResponseWriter, _ *http.Request, _ string, hang func()) { hang() }

// echoing refuses with everything it was told.
func echoing(w http.ResponseWriter, r *http.Request, body string, _ func()) {
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintln(w, r.URL, r.Header, body)
}

// mailServer speaks SMTP as far as a sender of mail needs.
type mailServer struct {
	addr string
	// replies are given instead of the usual ones, by command; "hang" stops.
	replies map[string]string

	mu    sync.Mutex
	mails []string
	conns []net.Conn
}

func newMailServer(t *testing.T, replies map[string]string) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{addr: l.Addr().String(), replies: replies}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			wg.Go(func() { s.converse(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *mailServer) converse(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	say := func(command, usual string) bool {
		usual = s.reply(command, usual)
		if usual == "hang" {
			_, _ = io.Copy(io.Discard, in) // until the test closes it
			return false
		}
		_, err := io.WriteString(conn, usual+"\r\n")
		return err == nil
	}
	if !say("CONNECT", "220 mail.test ESMTP") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		usual := "250 OK"
		switch command = strings.ToUpper(command); command {
		case "EHLO":
			usual = "250-mail.test\r\n250 AUTH PLAIN"
		case "AUTH":
			usual = "235 welcome"
		case "DATA":
			usual = "354 go on"
		case "QUIT":
			usual = "221 bye"
		}
		if !say(command, usual) || command == "QUIT" {
			return
		}
		if command == "DATA" && s.reply("DATA", "") == "" && !s.take(in, say) {
			return
		}
	}
}

// take reads a mail up to its lone dot.
func (s *mailServer) take(in *bufio.Reader, say func(string, string) bool) bool {
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		mail.WriteString(line)
	}
	s.mu.Lock()
	s.mails = append(s.mails, mail.String())
	s.mu.Unlock()
	return say("BODY", "250 taken")
}

// connections is how many senders have connected.
func (s *mailServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// recover ends every conversation, as a restart does, and answers properly from
// then on.
func (s *mailServer) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = nil
	for _, conn := range s.conns {
		conn.Close()
	}
}

// reply is what the server says to a command.
func (s *mailServer) reply(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply, ok := s.replies[command]; ok {
		return reply
	}
	return usual
}

func (s *mailServer) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.mails...)
}
