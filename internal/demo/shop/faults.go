package shop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Faults is what is wrong with the shop. The zero value is nothing.
type Faults struct {
	// Errors multiplies the payment failures, Slow the response times; 0 is 1.
	Errors float64 `json:"errors,omitempty"`
	Slow   float64 `json:"slow,omitempty"`
	// Panics is the fraction of requests that panic.
	Panics float64 `json:"panics,omitempty"`
	// LeakMB is how many megabytes are never given back, a second.
	LeakMB float64 `json:"leakMB,omitempty"`
	// Burn is how many processor cores are kept busy with nothing.
	Burn float64 `json:"burn,omitempty"`
	// NeverReady makes the health page say no.
	NeverReady bool `json:"neverReady,omitempty"`
	// ExitAfter ends the program by itself, counted from when it is set.
	ExitAfter Seconds `json:"exitAfter,omitempty"`
}

// Seconds is a duration written as Go writes it.
type Seconds time.Duration

func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

func (s *Seconds) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s is not a duration; write one such as \"5s\"", data)
	}
	d, err := time.ParseDuration(text)
	*s = Seconds(d)
	return err
}

func (f Faults) errors() float64 { return orOne(f.Errors) }
func (f Faults) slow() float64   { return orOne(f.Slow) }

func orOne(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

func (f Faults) validate() error {
	for _, limit := range []struct {
		name     string
		value    float64
		from, to float64
	}{
		{"errors", f.Errors, 0, 1000}, {"slow", f.Slow, 0, 1000}, {"panics", f.Panics, 0, 1},
		{"leakMB", f.LeakMB, 0, 100}, {"burn", f.Burn, 0, 4},
		{"exitAfter", time.Duration(f.ExitAfter).Seconds(), 0, 86400},
	} {
		if !(limit.value >= limit.from && limit.value <= limit.to) {
			return fmt.Errorf("fault %s is %v; give a number from %v to %v", limit.name, limit.value, limit.from, limit.to)
		}
	}
	return nil
}

// switchboard holds the faults that are on.
type switchboard struct {
	mu      sync.Mutex
	faults  Faults
	since   time.Time
	changed chan struct{}
}

func (b *switchboard) get() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults
}

func (b *switchboard) set(f Faults) error {
	if err := f.validate(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
	}
	b.faults, b.since, b.changed = f, time.Now(), make(chan struct{})
	return nil
}

// watch returns the faults, since when they are on, and what is closed when
// they change.
func (b *switchboard) watch() (Faults, time.Time, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults, b.since, b.changed
}

func (s *Shop) showFaults(w http.ResponseWriter, r *http.Request) {
	if refuseStrangers(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.faults.get())
}

func (s *Shop) setFaults(w http.ResponseWriter, r *http.Request) {
	if refuseStrangers(w, r) {
		return
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	var f Faults
	err := d.Decode(&f)
	if err == nil {
		err = s.faults.set(f)
	}
	if err != nil {
		http.Error(w, "the faults cannot be set: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.cfg.Logger.Info("faults set", "version", s.cfg.Version, "faults", fmt.Sprintf("%+v", f))
	s.showFaults(w, r)
}

// refuseStrangers lets through only who is on this machine and speaks to this
// shop directly: not a user who came through a proxy on this machine.
func refuseStrangers(w http.ResponseWriter, r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
	if ip := net.ParseIP(host); err == nil && ip.IsLoopback() && !forwarded {
		return false
	}
	http.NotFound(w, r)
	return true
}
