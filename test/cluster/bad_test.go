//go:build plane

package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/test/plane"
)

func TestAnImageThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases, "prepare: 60s", "prepare: 10s")
	users := send(t, s.host, 20)
	s.changeImage("sample:does-not-exist", "v2")
	s.rolledBack(1, "does-not-exist")
	if got := s.unharmed(users); got.versions["v1"] != got.all {
		t.Errorf("who answered: %v of %d", got.versions, got.all)
	}
	s.tells("shop", "Ready", "RolledBack", "does-not-exist")
	for _, part := range []string{"does-not-exist", "ImagePullBackOff", "Suspected cause"} {
		s.says(0, part, "report", "shop")
	}
	if n := len(s.pods()); n != 2 {
		t.Errorf("there are %d pods: %v", n, s.pods())
	}
}

// What a node tells of a container that it had no memory for is in the report, and
// opens it.
func TestAVersionThatTakesTooMuchMemory(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	s.change("v2", "-hungry=4s")
	s.rolledBack(1, "")
	ended := time.Now()
	report, code := s.serin("report", "shop")
	for _, part := range []string{"OOMKilled", "ended with status 137", "memory"} {
		if code != 0 || !strings.Contains(report, part) {
			t.Errorf("the report does not say %q", part)
		}
	}
	cause := report[max(strings.Index(report, "## Suspected cause"), 0):]
	if cause = cause[:max(strings.Index(cause[2:], "\n## "), 0)+2]; !strings.Contains(cause, "memory") {
		t.Errorf("the suspected cause does not speak of memory: %q", cause)
	}
	if t.Failed() {
		t.Log(report)
	}
	time.Sleep(time.Second)
	users.stop()
	if after := count(users.got(ended)); after.versions["v2"] > 0 || after.failed > 0 {
		t.Errorf("after the rollback: %v, %d failed of %d", after.versions, after.failed, after.all)
	}
}

// link is a way to Prometheus that a test can cut.
type link struct {
	address string
	mu      sync.Mutex
	cut     bool
	open    map[net.Conn]bool
}

func newLink(t *testing.T, address string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: address, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = listener.Close(); l.Cut() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(in)
		}
	}()
	return l
}

func (l *link) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", strings.TrimPrefix(plane.PrometheusURL, "http://"))
	if err != nil {
		return
	}
	defer out.Close()
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return
	}
	l.open[in] = true
	l.mu.Unlock()
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	_, _ = io.Copy(in, out)
	l.mu.Lock()
	delete(l.open, in)
	l.mu.Unlock()
}

// Cut ends every connection; none is taken from now on.
func (l *link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.open {
		_ = c.Close()
	}
}

func TestWithoutFiguresARunHoldsAndThenGoesBack(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	prometheus := newLink(t, "10.88.250.1:9090")
	s.roll(longPhases, plane.PrometheusURL, "http://"+prometheus.address, "holdTimeout: 60s", "holdTimeout: 15s")
	users := send(t, s.host, 20)
	s.change("v2")
	s.weighs(20)
	time.Sleep(5 * time.Second)
	prometheus.Cut()
	cut := time.Now()
	eventually(t, limit, func() error {
		if v := s.rollout().Status.Verdict; v != "hold" {
			return fmt.Errorf("the verdict is %q", v)
		}
		return nil
	})
	if got := s.weights(); got[1] != 20 {
		t.Errorf("while it holds the weights are %v", got)
	}
	run := s.rolledBack(1, "")
	if after := run.Status.EndedAt.Sub(cut); after < 10*time.Second {
		t.Errorf("it was rolled back %s after the figures went; it is to hold first", after)
	}
	if run.Status.Reason == "" {
		t.Error("nothing says why")
	}
	s.says(0, run.Status.Reason, "history", "shop")
	s.unharmed(users)
}

func TestAReceiverThatHangsDelaysNothing(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	listener, err := net.Listen("tcp", "10.88.250.2:80")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1000)
	ctx, stop := context.WithCancel(context.Background())
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-ctx.Done()
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { stop(); _ = server.Close() })
	s.roll(longPhases, "  analysis:", "  notify: [{cloudevents: {url: \"http://10.88.250.2/\"}}]\n  analysis:")
	users := send(t, s.host, 50)
	s.change("v2", "-errors=0.5")
	s.rolledBack(1, "errors")
	if len(asked) == 0 {
		t.Error("the receiver was never asked, so nothing hung")
	}
	ended := time.Now()
	time.Sleep(time.Second)
	users.stop()
	if after := count(users.got(ended)); after.versions["v2"] > 0 || after.failed > 0 || after.all == 0 {
		t.Errorf("after the rollback: %v, %d failed of %d", after.versions, after.failed, after.all)
	}
}
