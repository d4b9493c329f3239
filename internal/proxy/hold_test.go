package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
)

// Stable is being started, and a user is there already: the request, a POST too,
// waits for it and is answered, and is stable's error all the same.
func TestARequestWaitsForAStableThatIsStarting(t *testing.T) {
	for path, header := range paths {
		for _, method := range []string{"GET", "POST"} {
			t.Run(path+" "+method, func(t *testing.T) {
				dead := deadURL(t)
				p := start(t, proxy.Config{}, only(dead))
				client := newClient(t)
				answers := make(chan string, 20)
				for range cap(answers) {
					go func() {
						body := ""
						if method == "POST" {
							body = "order"
						}
						answers <- ask(t.Context(), client, method, p.url("/"), body, header...)
					}()
				}
				eventually(t, "somebody has been refused", func() bool { return p.Inflight(proxy.Stable) == cap(answers) })
				ln, err := net.Listen("tcp", strings.TrimPrefix(dead, "http://"))
				fatalf(t, err, "stable comes")
				srv := &http.Server{Handler: named("stable")}
				go func() { _ = srv.Serve(ln) }()
				defer srv.Close()
				for range cap(answers) {
					if got := <-answers; got != "200 stable" {
						t.Errorf("a user gets %q", got)
					}
				}
				s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests == uint64(cap(answers)) })
				if s.Stable.Errors == 0 {
					t.Error("that nobody could connect to stable is not counted")
				}
			})
		}
	}
}

// Whoever waits follows stable to another address.
func TestARequestThatWaitsFollowsStable(t *testing.T) {
	p := start(t, proxy.Config{}, only(deadURL(t)))
	client, answer := newClient(t), make(chan string, 1)
	go func() { answer <- ask(t.Context(), client, "GET", p.url("/"), "") }()
	eventually(t, "the request is there", func() bool { return p.Inflight(proxy.Stable) == 1 })
	fatalf(t, p.Update(only(origin(t, named("moved")).URL)), "stable moves")
	if got := <-answer; got != "200 moved" {
		t.Errorf("the user gets %q", got)
	}
}

// A stable that does not come is not waited for again by everybody who comes later.
func TestAStableThatIsGoneIsNotWaitedFor(t *testing.T) {
	p := start(t, proxy.Config{}, only(deadURL(t)))
	client := newClient(t)
	first := time.Now()
	for n := range 50 {
		if got := ask(t.Context(), client, "GET", p.url("/"), ""); !strings.HasPrefix(got, "502 ") {
			t.Fatalf("request %d: %q", n, got)
		}
	}
	if took := time.Since(first); took > 20*time.Second {
		t.Errorf("50 requests one after another took %s, as if each had waited", took)
	}
}

// ask is for goroutines: what came, in a line.
func ask(ctx context.Context, c *http.Client, method, url, body string, header ...string) string {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", res.StatusCode, text)
}
