//go:build plane

package cluster

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
)

// slowWatches is a way to the API server on which everything is as quick as
// ever, but for what watches tell: that comes so much later.
func slowWatches(t *testing.T, late time.Duration) *httptest.Server {
	t.Helper()
	var watches atomic.Int64
	t.Cleanup(func() {
		if watches.Load() == 0 {
			t.Error("nothing was watched through the proxy")
		}
	})
	return way(t, func(through *httputil.ReverseProxy) http.Handler {
		through.ModifyResponse = func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") == "true" {
				watches.Add(1)
				r.Body = newLater(r.Body, late)
			}
			return nil
		}
		return through
	})
}

// later hands on what is read so much later.
type later struct {
	io.ReadCloser
	pieces chan piece
	closed chan struct{}
	close  sync.Once
	rest   []byte
	err    error
}

type piece struct {
	data []byte
	err  error
	due  time.Time
}

func newLater(from io.ReadCloser, late time.Duration) *later {
	l := &later{ReadCloser: from, pieces: make(chan piece, 10_000), closed: make(chan struct{})}
	go func() {
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			select {
			case l.pieces <- piece{buffer[:n], err, time.Now().Add(late)}:
			case <-l.closed:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *later) Read(into []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		select {
		case p := <-l.pieces:
			select {
			case <-time.After(time.Until(p.due)):
			case <-l.closed:
				return 0, io.ErrClosedPipe
			}
			l.rest, l.err = p.data, p.err
		case <-l.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(into, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *later) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.ReadCloser.Close()
}

// late is more than two ticks of the tests' rollouts.
const late = 5 * time.Second

// What watches tell comes five seconds late. A release takes its time and comes
// to the same end, no step of it is there twice, and nobody's request fails.
func TestAReleaseWhileTheWatchIsSlow(t *testing.T) {
	s := open(t, 2)
	s.carriedThrough(slowWatches(t, late))
	s.roll(crashPhases)
	users := send(t, s.host, 50)
	weights := s.history()
	s.change("v2")
	s.released(1, 2)
	s.unharmed(users)
	s.recorded("shop-1")
	// Up to 100, then the tested pods are stable and the weight goes back.
	if got := weights(); fmt.Sprint(got) != "[0 10 50 100 0]" {
		t.Errorf("the canary's weights were %v", got)
	}
	if n := len(s.runs()); n != 1 {
		t.Errorf("there are %d runs", n)
	}
}

// The way back does not wait for watches: neither when the figures say so, nor
// when a person does.
func TestARollbackWhileTheWatchIsSlow(t *testing.T) {
	s := open(t, 2)
	s.carriedThrough(slowWatches(t, late))
	s.roll(longPhases)
	users := send(t, s.host, 50)
	s.change("v2", "-errors=0.5")
	s.rolledBack(1, "errors")
	s.recorded("shop-1")
	s.change("v3")
	s.weighs(20)
	asked := time.Now()
	s.says(0, "", "rollback", "shop")
	s.weighs(0)
	// A tick is 2 s here. The intent is heard of with what the look in it saves,
	// before any watch tells of it.
	if took := time.Since(asked); took > 4*time.Second {
		t.Errorf("stable served alone %s after it was asked for", took)
	}
	if run := s.ends(2, limit); run.Status.Phase != string(engine.RolledBack) {
		t.Errorf("run 2 ended as %q", run.Status.Phase)
	}
	s.recorded("shop-2")
	users.stop()
	if got := count(users.got(time.Time{})); got.versions["v2"] == 0 || got.versions["v1"] == 0 {
		t.Errorf("who answered: %v", got.versions)
	}
}
