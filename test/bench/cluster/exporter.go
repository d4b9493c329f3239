//go:build plane

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// exporter plays the counters of all rollouts' arms. Who gets which share of
// the requests is what the routes say; whether a canary answers badly is what
// the bench says. Prometheus scrapes it as one target.
type exporter struct {
	address string
	server  *http.Server
	rate    float64

	mu    sync.Mutex
	arms  map[string]*pair // by namespace/name
	until time.Time
	bad   bool
}

// pair is both arms of a rollout.
type pair struct {
	weight float64
	arm    [2]arm // stable, canary
}

type arm struct {
	rest             float64 // of a request that has not been made yet
	requests, errors int
	buckets          [len(bounds) + 1]int
	sum              float64
}

// bounds are the buckets of response times, in seconds.
var bounds = [...]float64{0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1}

// fewErrors is the share of answers that fail in a good version, manyErrors in a
// bad one.
const fewErrors, manyErrors = 0.001, 0.5

func startExporter(rate float64, r *routes) (*exporter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &exporter{address: l.Addr().String(), rate: rate, arms: map[string]*pair{}, until: time.Now()}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.server.Serve(l) }() // ends with close
	r.tell(e.weigh)
	return e, nil
}

func (e *exporter) close() { _ = e.server.Close() }

// play begins the counters of a rollout.
func (e *exporter) play(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pass(time.Now())
	e.arms[key] = &pair{}
}

// weigh notes how many percent of a rollout's requests its canary gets.
func (e *exporter) weigh(key string, weight int64, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.arms[key]; p != nil {
		e.pass(at)
		p.weight = float64(weight) / 100
	}
}

// turn makes every canary answer badly from now on.
func (e *exporter) turn() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.pass(now)
	e.bad = true
	return now
}

// pass makes the requests of the time until now.
func (e *exporter) pass(now time.Time) {
	took := now.Sub(e.until).Seconds()
	if took <= 0 {
		return
	}
	e.until = now
	for _, p := range e.arms {
		for i, share := range []float64{1 - p.weight, p.weight} {
			a := &p.arm[i]
			a.rest += took * e.rate * share
			wrong := fewErrors
			if i == 1 && e.bad {
				wrong = manyErrors
			}
			for ; a.rest >= 1; a.rest-- {
				a.answer(wrong)
			}
		}
	}
}

func (a *arm) answer(wrong float64) {
	a.requests++
	if rand.Float64() < wrong {
		a.errors++
	}
	time := 0.02 + rand.ExpFloat64()*0.02
	a.sum += time
	at := 0
	for at < len(bounds) && time > bounds[at] {
		at++
	}
	a.buckets[at]++
}

// ServeHTTP answers a scrape.
func (e *exporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	e.pass(time.Now())
	var b strings.Builder
	for key, p := range e.arms {
		namespace, name, _ := strings.Cut(key, "/")
		for i, armName := range []string{"stable", "canary"} {
			a := p.arm[i]
			labels := fmt.Sprintf(`namespace=%q,rollout=%q,arm=%q`, namespace, name, armName)
			fmt.Fprintf(&b, "bench_requests_total{%s} %d\nbench_errors_total{%s} %d\n", labels, a.requests, labels, a.errors)
			sum := 0
			for j, n := range a.buckets {
				sum += n
				bound := "+Inf"
				if j < len(bounds) {
					bound = fmt.Sprint(bounds[j])
				}
				fmt.Fprintf(&b, "bench_latency_seconds_bucket{%s,le=%q} %d\n", labels, bound, sum)
			}
			fmt.Fprintf(&b, "bench_latency_seconds_sum{%s} %g\nbench_latency_seconds_count{%s} %d\n", labels, a.sum, labels, sum)
		}
	}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(w, b.String()) // Prometheus scrapes again
}
