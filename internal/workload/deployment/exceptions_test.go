package deployment

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"serin.dev/serin/internal/exceptions"
)

// logServer answers as the API server does for the logs of one pod.
type logServer struct {
	mu                sync.Mutex
	current, previous []string
	asked             []string
}

func (s *logServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	s.asked = append(s.asked, r.URL.Path+"?"+q.Encode())
	lines := s.current
	if q.Get("previous") == "true" {
		lines = s.previous
	}
	since, _ := time.Parse(time.RFC3339, q.Get("sinceTime"))
	for _, l := range lines {
		at, _, _ := strings.Cut(l, " ")
		// Whole seconds: what was read already may come again.
		if when, _ := time.Parse(time.RFC3339Nano, at); !when.Before(since.Truncate(time.Second)) {
			fmt.Fprint(w, l)
		}
	}
}

func TestAPodsLogIsReadOnceAndThroughARestart(t *testing.T) {
	at := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	stamped := func(text string) (out []string) {
		for line := range strings.Lines(text) {
			at = at.Add(100 * time.Millisecond)
			out = append(out, at.Format("2006-01-02T15:04:05.000000000Z07:00")+" "+line)
		}
		return out
	}
	trace := func(class string) []string {
		return stamped(class + ": 4711\n    at Cart.add (/app/cart.js:12:5)\nGET / 200\n")
	}
	s := &logServer{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := corev1client.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	l := &podLog{reader: exceptions.NewReader()}
	look := func(restarts int32) string {
		t.Helper()
		if err := l.catchUp(t.Context(), client.Pods("shop"), "shop-1", "app", restarts); err != nil {
			t.Fatal(err)
		}
		seen, _ := l.reader.Take()
		var out []string
		for _, x := range seen {
			out = append(out, fmt.Sprintf("%s %d", x.Class, x.Count))
		}
		return strings.Join(out, ", ")
	}
	for n, c := range []struct {
		write    []string
		restarts int32
		want     string
	}{
		{trace("AError"), 0, "AError@Cart.add 1"},
		{nil, 0, ""},
		{append(trace("AError"), trace("BError")...), 0, "AError@Cart.add 1, BError@Cart.add 1"},
		{append(trace("CError"), at.Add(time.Second).Format(time.RFC3339Nano)+" DError: cut"), 0, "CError@Cart.add 1"},
	} {
		s.current = append(s.current, c.write...)
		if got := look(c.restarts); got != c.want {
			t.Errorf("look %d: %q, want %q", n, got, c.want)
		}
	}
	at = at.Add(2 * time.Second)
	s.previous = append(s.current[:len(s.current)-1], stamped("panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:4 +0x1\n")...)
	s.current = trace("EError")
	if got, want := look(1), "EError@Cart.add 1, panic@main.main 1"; got != want {
		t.Errorf("after a restart: %q, want %q", got, want)
	}
	if got := look(1); got != "" {
		t.Errorf("nothing was written: %q", got)
	}
	if last := s.asked[len(s.asked)-1]; !strings.HasPrefix(last, "/api/v1/namespaces/shop/pods/shop-1/log?") || !strings.Contains(last, "sinceTime=") || !strings.Contains(last, "limitBytes=") {
		t.Errorf("asked for %s", last)
	}
}
