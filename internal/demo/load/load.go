// Package load sends users' requests at a steady rate, whatever the answers
// take (open loop), and counts what became of them by the version that
// answered. It must not know weights, runs or verdicts: it sees what users see.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"serin.dev/serin/internal/demo/shop"
)

// Config says who visits.
type Config struct {
	// URL is where the requests go, such as http://127.0.0.1:8080.
	URL string
	// Rate is the number of requests a second.
	Rate int
	// Users is how many different people there are; each has a cookie.
	Users int
	// Seed makes the order of users and pages repeatable.
	Seed uint64
}

// UserCookie names the cookie by which the shop knows a user.
const UserCookie = "user"

const (
	// timeout is how long a user waits.
	timeout = 10 * time.Second
	// maxWaiting bounds the requests that wait for an answer at a time, and so
	// the memory: more would only wait in a queue elsewhere.
	maxWaiting = 1000
	// maxBody is how much of an answer is read.
	maxBody = 16 << 10
	// maxFailures bounds the failures that are kept.
	maxFailures = 1000
)

// visit is one kind of request and how many of a hundred are of it.
type visit struct {
	method, path string
	percent      int
}

var visits = []visit{
	{http.MethodGet, "/", 15}, {http.MethodGet, "/products", 25}, {http.MethodPost, "/cart", 20}, {http.MethodPost, "/checkout", 40},
}

// Load is users visiting. Its methods may be called from any goroutine.
type Load struct {
	cfg      Config
	attacker *vegeta.Attacker
	done     chan struct{}

	mu     sync.Mutex
	counts Counts
}

// Start lets the users in. They leave when ctx ends or Stop is called.
func Start(ctx context.Context, cfg Config) (*Load, error) {
	if cfg.Rate <= 0 || cfg.Users <= 0 {
		return nil, fmt.Errorf("%d requests a second from %d users is no load; both must be above 0", cfg.Rate, cfg.Users)
	}
	l := &Load{
		cfg: cfg,
		attacker: vegeta.NewAttacker(
			vegeta.Timeout(timeout), vegeta.MaxBody(maxBody),
			vegeta.Workers(64), vegeta.MaxWorkers(maxWaiting), vegeta.Connections(maxWaiting),
			vegeta.Redirects(vegeta.NoFollow), vegeta.HTTP2(false), vegeta.Proxy(nil),
			vegeta.LocalAddr(net.IPAddr{}),
		),
		done:   make(chan struct{}),
		counts: Counts{Versions: map[string]Version{}},
	}
	results := l.attacker.Attack(l.targeter(), &steady{interval: time.Second / time.Duration(cfg.Rate)}, 0, "users")
	go func() {
		defer close(l.done)
		for r := range results {
			l.count(r)
		}
	}()
	context.AfterFunc(ctx, func() { l.attacker.Stop() })
	return l, nil
}

// Stop sends the users home, waits for the answers still due, and returns what
// became of all requests.
func (l *Load) Stop() Counts {
	l.attacker.Stop()
	<-l.done // bounded: every request has a timeout
	return l.Counts()
}

// targeter draws a user and a page for each request.
func (l *Load) targeter() vegeta.Targeter {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(l.cfg.Seed, 1))
	return func(t *vegeta.Target) error {
		mu.Lock()
		user, lot := random.IntN(l.cfg.Users), random.IntN(100)
		mu.Unlock()
		for _, v := range visits {
			if lot -= v.percent; lot < 0 {
				t.Method, t.URL = v.method, l.cfg.URL+v.path
				break
			}
		}
		t.Header = http.Header{"Cookie": {UserCookie + "=u" + strconv.Itoa(user)}}
		return nil
	}
}

// Counts is what became of the requests so far.
type Counts struct {
	Requests int
	// Versions counts by the version that answered.
	Versions map[string]Version
	// Broken counts the requests that got no answer of the shop: refused, cut
	// off, timed out, or answered with an error by something before the shop.
	Broken int
	// Failures are the first broken requests.
	Failures []Failure
}

// Failure is a request that got no answer of the shop.
type Failure struct {
	Began, Ended time.Time
	What         string
}

// String implements fmt.Stringer.
func (f Failure) String() string { return f.Began.Format("15:04:05.000") + " " + f.What }

// Version is what one version answered.
type Version struct {
	// Failed are the answers that the shop itself marked as its own failure.
	Requests, Failed int
}

// Counts returns what became of the requests so far.
func (l *Load) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Versions = make(map[string]Version, len(l.counts.Versions))
	for name, v := range l.counts.Versions {
		c.Versions[name] = v
	}
	c.Failures = slices.Clone(l.counts.Failures)
	return c
}

func (l *Load) count(r *vegeta.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Requests++
	version := r.Headers.Get(shop.VersionHeader)
	if v, ok := l.counts.Versions[version]; version != "" && (ok || len(l.counts.Versions) < 100) {
		v.Requests++
		if r.Code >= http.StatusInternalServerError && r.Headers.Get(shop.FailureHeader) != "" {
			v.Failed++
		}
		l.counts.Versions[version] = v
	}
	if err := broken(r); err != nil {
		l.counts.Broken++
		if len(l.counts.Failures) < maxFailures {
			l.counts.Failures = append(l.counts.Failures, Failure{
				Began: r.Timestamp, Ended: r.End(), What: fmt.Sprintf("%s %s: %v", r.Method, r.URL, err),
			})
		}
	}
}

// broken says why a request got no answer of the shop, if it got none.
func broken(r *vegeta.Result) error {
	switch {
	case r.Code == 0:
		return errors.New(r.Error)
	case r.Code >= http.StatusBadRequest && r.Headers.Get(shop.FailureHeader) == "":
		return fmt.Errorf("status %d that the shop did not send", r.Code)
	case r.Headers.Get(shop.VersionHeader) == "":
		return fmt.Errorf("status %d from something that is not the shop", r.Code)
	case r.Code < http.StatusBadRequest && r.Error != "":
		return errors.New(r.Error)
	}
	return nil
}
