//go:build plane

package cluster

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/test/plane"
)

// answer is what one request came to, as its sender saw it.
type answer struct {
	at           time.Time
	version, pod string
	status       int
	err          error
}

// users send requests through the gateway, at a steady pace, until stopped.
type users struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	answers []answer
}

// send begins to send so many requests a second for a host name.
func send(t *testing.T, host string, rate int) *users {
	t.Helper()
	return sendBy(t, newClient(), host, rate)
}

// sendBy is send with a client of one's own.
func sendBy(t *testing.T, client *http.Client, host string, rate int) *users {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	u := &users{cancel: cancel}
	t.Cleanup(u.stop)
	u.done.Go(func() {
		defer client.CloseIdleConnections()
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				u.done.Go(func() { u.add(ask(client, host)) })
			case <-ctx.Done():
				return
			}
		}
	})
	return u
}

func newClient() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
}

func ask(client *http.Client, host string) answer {
	a := answer{at: time.Now()}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+plane.GatewayAddress+"/", http.NoBody)
	if err != nil {
		a.err = err
		return a
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	_, a.err = io.Copy(io.Discard, resp.Body)
	a.status, a.version, a.pod = resp.StatusCode, resp.Header.Get("X-Version"), resp.Header.Get("X-Pod")
	return a
}

func (u *users) add(a answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers = append(u.answers, a)
}

// stop ends the sending and returns when every answer has come.
func (u *users) stop() {
	u.cancel()
	u.done.Wait()
}

// got returns the answers so far, those from a moment on.
func (u *users) got(from time.Time) []answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []answer
	for _, a := range u.answers {
		if !a.at.Before(from) {
			out = append(out, a)
		}
	}
	return out
}

// tally is what answers come to.
type tally struct {
	all, failed int
	versions    map[string]int
	pods        map[string]bool
	lastOf      map[string]time.Time
	why         map[string]int
}

func count(answers []answer) tally {
	c := tally{versions: map[string]int{}, pods: map[string]bool{}, lastOf: map[string]time.Time{}, why: map[string]int{}}
	for _, a := range answers {
		c.all++
		switch {
		case a.err != nil:
			c.failed++
			c.why[a.err.Error()]++
		case a.status != http.StatusOK:
			c.failed++
			c.why[a.version+" "+http.StatusText(a.status)]++
		}
		if a.version != "" {
			c.versions[a.version]++
			c.pods[a.pod] = true
			if a.at.After(c.lastOf[a.version]) {
				c.lastOf[a.version] = a.at
			}
		}
	}
	return c
}
