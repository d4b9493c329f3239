package proxy

import (
	"sync/atomic"
	"time"
)

// Stats is what the proxy has counted since New. Subtract two of them to know
// what happened in between.
//
// What is counted, for stable and canary alike:
//
//   - A request counts once, when it has finished, for the arm and instance it
//     was first routed to, wherever it was answered in the end.
//   - It is an error when that instance could not be connected to, broke the
//     connection, did not answer in time, or answered with 5xx; a 4xx is not an
//     error. That a retry hid the error from the user does not unmake it.
//   - A client that goes away itself is no error of the arm (Canceled).
//   - Latency is the time from the request's headers to the last byte of the
//     response, for requests that the instance answered, and for those that ran
//     into a timeout. Event streams and upgraded connections (WebSocket) last as
//     long as both sides like: theirs is the time to the response's headers.
//     Requests answered elsewhere after an error and canceled ones have none.
//   - Forced requests (Config.ForceHeader) are in ForcedStable and ForcedCanary
//     only.
type Stats struct {
	At                         time.Time
	Stable, Canary             ArmStats
	Baseline                   ArmStats
	ForcedStable, ForcedCanary ArmStats
}

// Arm returns the judged statistics of one arm.
func (s Stats) Arm(a Arm) ArmStats {
	switch a {
	case Canary:
		return s.Canary
	case Baseline:
		return s.Baseline
	}
	return s.Stable
}

// ArmStats are the figures of one arm. Instances holds the same figures by
// instance name, also of instances that have left (the latest of them).
type ArmStats struct {
	Requests      uint64
	Errors        uint64
	ErrorsByClass map[string]uint64 // by ErrorClass...; only classes that occurred
	Canceled      uint64            // of Requests: the client went away
	Fallbacks     uint64            // of Errors: answered by stable or another instance instead
	Latency       Histogram
	Inflight      int
	BytesIn       uint64 // request bodies
	BytesOut      uint64 // response bodies
	Instances     map[string]InstanceStats
}

// InstanceStats are the figures of one instance of an arm.
type InstanceStats struct {
	Requests      uint64
	Errors        uint64
	ErrorsByClass map[string]uint64
	Canceled      uint64
	Fallbacks     uint64
	Latency       Histogram
	Inflight      int
	BytesIn       uint64
	BytesOut      uint64
}

// The classes of errors.
const (
	ErrorClass5xx      = "5xx"      // the instance answered with a status of 500 or more
	ErrorClassConnect  = "connect"  // no connection to the instance, or it is ejected for that
	ErrorClassReset    = "reset"    // the connection broke before the response was complete
	ErrorClassTimeout  = "timeout"  // no response headers within ResponseHeaderTimeout
	ErrorClassProtocol = "protocol" // the instance did not speak HTTP
)

var errorClasses = [...]string{ErrorClass5xx, ErrorClassConnect, ErrorClassReset, ErrorClassTimeout, ErrorClassProtocol}

// class is the index of an error class; noError is none of them.
type class int

const noError class = -1

const (
	class5xx class = iota
	classConnect
	classReset
	classTimeout
	classProtocol
)

// meter counts for one arm or one instance. All of it is atomic: requests
// record without a lock and Snapshot reads while they do.
type meter struct {
	requests, canceled, fallbacks atomic.Uint64
	errors                        [len(errorClasses)]atomic.Uint64
	bytesIn, bytesOut             atomic.Uint64
	inflight                      atomic.Int64
	latency                       latencies
}

// outcome is one finished request.
type outcome struct {
	class             class
	canceled          bool
	fellBack          bool
	timed             bool // latency is meaningful
	latency           time.Duration
	bytesIn, bytesOut uint64
}

func (m *meter) start() { m.inflight.Add(1) }

func (m *meter) finish(o outcome) {
	if o.timed {
		m.latency.record(o.latency)
	}
	if o.bytesIn > 0 {
		m.bytesIn.Add(o.bytesIn)
	}
	if o.bytesOut > 0 {
		m.bytesOut.Add(o.bytesOut)
	}
	// The request is counted before its error is, and Snapshot reads in the
	// opposite order: errors never outnumber requests.
	m.requests.Add(1)
	if o.canceled {
		m.canceled.Add(1)
	}
	if o.fellBack {
		m.fallbacks.Add(1)
	}
	if o.class != noError {
		m.errors[o.class].Add(1)
	}
	m.inflight.Add(-1)
}

func (m *meter) snapshot() InstanceStats {
	s := InstanceStats{
		Canceled:  m.canceled.Load(),
		Fallbacks: m.fallbacks.Load(),
		Inflight:  int(m.inflight.Load()),
		BytesIn:   m.bytesIn.Load(),
		BytesOut:  m.bytesOut.Load(),
	}
	s.ErrorsByClass = make(map[string]uint64)
	for i := range m.errors {
		if n := m.errors[i].Load(); n > 0 {
			s.ErrorsByClass[errorClasses[i]] = n
			s.Errors += n
		}
	}
	s.Requests = m.requests.Load()
	s.Latency = m.latency.snapshot()
	return s
}

func (m *meter) armSnapshot(instances map[string]InstanceStats) ArmStats {
	s := m.snapshot()
	return ArmStats{
		Requests: s.Requests, Errors: s.Errors, ErrorsByClass: s.ErrorsByClass,
		Canceled: s.Canceled, Fallbacks: s.Fallbacks, Latency: s.Latency, Inflight: s.Inflight,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut, Instances: instances,
	}
}
