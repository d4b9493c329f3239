package prometheus

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"serin.dev/serin/internal/guarded"
)

// Crowd keeps many sources that read the same scrapes from all asking for them
// in the same moment. Each asks later by its own place in a time that grows with
// their number, so that a few lose nothing. They share their connections.
type Crowd struct {
	n    atomic.Int64
	once sync.Once
	http *http.Client
}

// keepAlive is how long a connection to Prometheus waits for the next question. A
// tick asks several in a row.
const keepAlive = 20 * time.Second

// client is the one that the crowd's sources share, or one of a source's own.
func (c *Crowd) client() *http.Client {
	fresh := func() *http.Client {
		return guarded.NewClient(guarded.Options{Timeout: longestWait, MaxBody: maxBody, Proxy: true, KeepAlive: keepAlive})
	}
	if c == nil {
		return fresh()
	}
	c.once.Do(func() { c.http = fresh() })
	return c.http
}

// each is what a source's questions take of a processor, and most the part of
// the time between two scrapes over which they are spread at most.
const (
	each = 20 * time.Millisecond
	most = 0.75
)

// place is a source's place in a crowd; the zero value has none.
type place struct {
	crowd *Crowd
	at    float64 // from 0 to 1
	in    bool
}

func (p *place) join() {
	if p.crowd != nil && !p.in {
		p.in, p.at = true, rand.Float64() //nolint:gosec // it spreads load and protects nothing
		p.crowd.n.Add(1)
	}
}

func (p *place) leave() {
	if p.in {
		p.in = false
		p.crowd.n.Add(-1)
	}
}

// later is by how much the source asks later than the scrapes come.
func (p *place) later(every time.Duration) time.Duration {
	if !p.in {
		return 0
	}
	spread := min(time.Duration(p.crowd.n.Load()-1)*each, time.Duration(most*float64(every)))
	return time.Duration(p.at * float64(spread))
}
