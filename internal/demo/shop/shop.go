// Package shop is a small web shop to release: a program with the habits of a
// real one. Its pages take a tenth of a second, more or less, its payment
// provider fails now and then, and its faults can be switched on by a flag or
// while it runs. It must not know Serin: it is what Serin is shown with.
package shop

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// VersionHeader names the version that answered, on every answer.
	VersionHeader = "Shop-Version"
	// FailureHeader says what failed, on every error that the shop answers
	// with. An error without it was not the shop's.
	FailureHeader = "Shop-Failure"
)

// Config is what a version of the shop is like.
type Config struct {
	Version string
	// Seed makes the shop's randomness repeatable.
	Seed uint64
	// PaymentFailures is the fraction of checkouts that the payment provider
	// fails.
	PaymentFailures float64
	// Pace scales every response time: 0.5 is twice as fast.
	Pace   float64
	Faults Faults
	// Logger gets one line for every checkout that failed.
	Logger *slog.Logger
}

// DefaultPaymentFailures is how often the payment provider fails.
const DefaultPaymentFailures = 0.10

// page is one of the shop's pages: how long it takes in the middle of its
// distribution, and what it shows.
type page struct {
	median time.Duration
	text   string
}

// spread is the standard deviation of the logarithm of a response time.
const spread = 0.25

var pages = map[string]page{
	"/":         {80 * time.Millisecond, "Welcome to the shop."},
	"/products": {90 * time.Millisecond, "Kettle 29.90\nTeapot 34.50\nCup 7.20"},
	"/cart":     {85 * time.Millisecond, "Your cart: 1 kettle, 2 cups."},
	"/checkout": {105 * time.Millisecond, "Thank you for your order."},
}

// Shop answers requests. Its methods may be called from any goroutine.
type Shop struct {
	cfg    Config
	faults switchboard

	mu     sync.Mutex
	random *rand.Rand
}

// New returns a shop.
func New(cfg Config) (*Shop, error) {
	if cfg.PaymentFailures < 0 || cfg.PaymentFailures > 1 || math.IsNaN(cfg.PaymentFailures) {
		return nil, fmt.Errorf("payment failures are %v; give a fraction between 0 and 1", cfg.PaymentFailures)
	}
	if cfg.Pace == 0 {
		cfg.Pace = 1
	}
	if !(cfg.Pace > 0 && cfg.Pace <= 100) {
		return nil, fmt.Errorf("pace is %v; give a number above 0 and up to 100", cfg.Pace)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shop{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0))}
	if err := s.faults.set(cfg.Faults); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns the shop's pages.
func (s *Shop) Handler() http.Handler {
	mux := http.NewServeMux()
	for path := range pages {
		if path == "/" {
			path = "/{$}"
		}
		mux.HandleFunc(path, s.serve)
	}
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /faults", s.showFaults)
	mux.HandleFunc("POST /faults", s.setFaults)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(VersionHeader, s.cfg.Version)
		mux.ServeHTTP(w, r)
	})
}

func (s *Shop) health(w http.ResponseWriter, r *http.Request) {
	if s.faults.get().NeverReady {
		http.Error(w, "still warming up", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serve answers with a page after the time that it takes.
func (s *Shop) serve(w http.ResponseWriter, r *http.Request) {
	p := pages[r.URL.Path]
	faults := s.faults.get()
	// What is left of a body is the connection's next request otherwise.
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)); err != nil {
		http.Error(w, "the request's body could not be read", http.StatusBadRequest)
		return
	}
	took, lot := s.draw(p.median)
	timer := time.NewTimer(time.Duration(float64(took) * s.cfg.Pace * faults.slow()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	if lot.panics < faults.Panics {
		panic("the recommendations are nil") // net/http prints the stack and drops the connection
	}
	if r.URL.Path == "/checkout" && lot.payment < s.cfg.PaymentFailures*faults.errors() {
		s.cfg.Logger.Error("checkout failed: the payment provider did not answer", "version", s.cfg.Version, "order", lot.order)
		w.Header().Set(FailureHeader, "payment-provider")
		http.Error(w, "the payment provider did not answer; nothing was charged", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone; then nobody reads it.
	_ = json.NewEncoder(w).Encode(map[string]string{"shop": s.cfg.Version, "page": r.URL.Path, "text": p.text})
}

// lot is one request's share of chance.
type lot struct {
	payment, panics float64
	order           uint32
}

// draw returns how long a page takes this time, and what else is left to
// chance.
func (s *Shop) draw(median time.Duration) (time.Duration, lot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Duration(float64(median) * math.Exp(spread*s.random.NormFloat64()))
	return took, lot{payment: s.random.Float64(), panics: s.random.Float64(), order: s.random.Uint32()}
}
