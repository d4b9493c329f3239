//go:build plane

package main

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"serin.dev/serin/test/plane"
)

// users send requests through the gateway, at a steady pace, and note what the
// canary answers.
type users struct {
	client *http.Client
	host   string
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu          sync.Mutex
	all, canary int
	// failed are the canary's answers that were errors; lost every other request
	// that did not get one of the versions' own answers.
	failed, lost int
	first, last  time.Time
}

func send(ctx context.Context, host string, rate int) *users {
	ctx, cancel := context.WithCancel(ctx)
	u := &users{cancel: cancel, host: host, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	u.done.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				u.done.Go(u.ask)
			case <-ctx.Done():
				return
			}
		}
	})
	return u
}

func (u *users) stop() {
	u.cancel()
	u.done.Wait()
	u.client.CloseIdleConnections()
}

func (u *users) ask() {
	version, status := u.request(context.Background())
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all++
	switch version {
	case "v1":
	case "v2":
		u.canary++
		if u.first.IsZero() {
			u.first = now
		}
		u.last = now
		if status != http.StatusOK {
			u.failed++
		}
	default:
		u.lost++
	}
}

// request returns the version that answered, if one did, and how.
func (u *users) request(ctx context.Context) (version string, status int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+plane.GatewayAddress+"/", nil)
	if err != nil {
		return "", 0
	}
	req.Host = u.host
	resp, err := u.client.Do(req)
	if err != nil {
		return "", 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", 0
	}
	return resp.Header.Get("X-Version"), resp.StatusCode
}

// came returns what came of the requests so far.
func (u *users) came() outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return outcome{requests: u.all, canary: u.canary, failed: u.failed, lost: u.lost, exposed: u.last.Sub(u.first)}
}
