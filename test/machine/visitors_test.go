package machine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// visitors send requests to a service until they are stopped and count what
// came back: half of them over connections that are kept, half over new ones.
type visitors struct {
	t    *testing.T
	stop func()

	mu       sync.Mutex
	requests []request
}

// request is one request and what came of it.
type request struct {
	begun, ended time.Time
	version, pid string
	// wanted: the version was told to answer with an error.
	wanted bool
	// failed is why nobody got an answer from any version; empty when one did.
	failed string
}

const (
	visitorCount = 6
	visitorPause = 30 * time.Millisecond // about 200 requests a second together
)

// visit waits until the service answers and sends requests from then on.
func visit(t *testing.T, addr string) *visitors {
	t.Helper()
	eventually(t, addr+" to answer", func() bool {
		_, err := ask(http.DefaultClient, "http://"+addr+"/")
		return err == nil
	})
	v := &visitors{t: t}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for n := range visitorCount {
		keep := n%2 == 0
		wg.Go(func() { v.visit("http://"+addr+"/", keep, quit) })
	}
	var once sync.Once
	v.stop = func() {
		once.Do(func() {
			close(quit)
			wg.Wait()
		})
	}
	t.Cleanup(v.stop)
	return v
}

func (v *visitors) visit(url string, keep bool, quit <-chan struct{}) {
	transport := &http.Transport{
		DisableKeepAlives: !keep,
		DialContext:       (&net.Dialer{Timeout: 20 * time.Second}).DialContext,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	tick := time.NewTicker(visitorPause)
	defer tick.Stop()
	for {
		begun := time.Now()
		r, err := ask(client, url)
		r.begun, r.ended = begun, time.Now()
		if err != nil {
			r.failed = err.Error()
		}
		v.mu.Lock()
		v.requests = append(v.requests, r)
		v.mu.Unlock()
		select {
		case <-tick.C:
		case <-quit:
			return
		}
	}
}

// ask makes one request and reads the whole answer.
func ask(client *http.Client, url string) (request, error) {
	answer, err := client.Get(url)
	if err != nil {
		return request{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return request{}, fmt.Errorf("read the answer: %w", err)
	}
	r := request{version: answer.Header.Get(versionHeader), pid: answer.Header.Get(pidHeader), wanted: answer.Header.Get(wantedHeader) != ""}
	if r.version == "" || answer.StatusCode != http.StatusOK && !r.wanted {
		return r, fmt.Errorf("answered %d: %.200s", answer.StatusCode, body)
	}
	return r, nil
}

// seen returns the requests so far that began within a time; zero times are no
// bounds.
func (v *visitors) seen(from, to time.Time) []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []request
	for _, r := range v.requests {
		if (from.IsZero() || !r.begun.Before(from)) && (to.IsZero() || r.begun.Before(to)) {
			out = append(out, r)
		}
	}
	return out
}

// noneFailed asserts that every request was answered by a version.
func (v *visitors) noneFailed() {
	v.t.Helper()
	all := v.seen(time.Time{}, time.Time{})
	var failed []request
	for _, r := range all {
		if r.failed != "" {
			failed = append(failed, r)
		}
	}
	if len(failed) > 0 {
		v.t.Errorf("%d of %d requests failed, the first at %s after %s: %s", len(failed), len(all),
			failed[0].begun.Format(time.RFC3339Nano), failed[0].ended.Sub(failed[0].begun), failed[0].failed)
	}
	if len(all) < 20 {
		v.t.Errorf("only %d requests were made: too few to say anything", len(all))
	}
}

// refusedOnlySince asserts that requests failed only after a moment, and only
// because nobody listened any more: a service that ends cuts nobody off. Who is in
// the middle of the handshake then is refused by a reset.
func (v *visitors) refusedOnlySince(moment time.Time) {
	v.t.Helper()
	for _, r := range v.seen(time.Time{}, time.Time{}) {
		refused := strings.Contains(r.failed, "connection refused") || strings.Contains(r.failed, "connect: connection reset")
		if r.failed != "" && (r.ended.Before(moment) || !refused) {
			v.t.Errorf("a request at %s, %s after the service was to end, failed after %s: %s",
				r.begun.Format(time.RFC3339Nano), r.begun.Sub(moment), r.ended.Sub(r.begun), r.failed)
		}
	}
}

// count counts the answers of a version.
func count(requests []request, version string) int {
	n := 0
	for _, r := range requests {
		if r.version == version {
			n++
		}
	}
	return n
}

// share is the part of the answers that a version gave, in percent.
func share(requests []request, version string) float64 {
	answered := 0
	for _, r := range requests {
		if r.version != "" {
			answered++
		}
	}
	return 100 * float64(count(requests, version)) / float64(max(answered, 1))
}

// sees waits until a version answers.
func (v *visitors) sees(version string) {
	v.t.Helper()
	from := time.Now()
	eventually(v.t, "an answer of "+version, func() bool { return count(v.seen(from, time.Time{}), version) > 0 })
}

// lastOf returns when the last request began that a version answered.
func (v *visitors) lastOf(version string) time.Time {
	var last time.Time
	for _, r := range v.seen(time.Time{}, time.Time{}) {
		if r.version == version && r.begun.After(last) {
			last = r.begun
		}
	}
	return last
}
