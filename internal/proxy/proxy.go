package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is one running proxy. All its methods may be called at once from many
// goroutines.
type Proxy struct {
	cfg    Config
	table  atomic.Pointer[table] // what every new request reads, once
	sticky *stickiness           // nil: off
	ledger ledger
	certs  *certificates // nil: plain text

	requests succession   // on the direct path
	held     atomic.Int64 // requests that wait for stable

	mu        sync.Mutex // serializes Update
	upstreams map[string]*upstream

	reverse *httputil.ReverseProxy
	server  *server
}

// New makes a proxy. Until the first Update it answers every request with 503.
func New(cfg Config) (*Proxy, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, upstreams: make(map[string]*upstream)}
	p.requests.began = time.Now()
	if cfg.Sticky != nil {
		p.sticky = newStickiness(*cfg.Sticky)
	}
	if cfg.CertFile != "" {
		if p.certs, err = loadCertificates(cfg.CertFile, cfg.KeyFile, cfg.Logger); err != nil {
			return nil, err
		}
	}
	p.table.Store(&table{sequence: newSequence(0, 0), stable: new(group), canary: new(group), baseline: new(group)})
	p.reverse = newReverseProxy(p)
	p.server = newServer(p)
	return p, nil
}

// table is one state of the routing, never changed once it is published.
type table struct {
	split          Split
	sequence       *sequence
	stable, canary *group
	baseline       *group
	direct         bool // every backend can be reached by the direct path
}

func (t *table) group(a Arm) *group {
	switch a {
	case Canary:
		return t.canary
	case Baseline:
		return t.baseline
	}
	return t.stable
}

// Update makes s the split of every following request, at once and as a whole;
// requests under way finish where they are. A split that cannot be served is
// refused and changes nothing. Updating to the same split again is harmless.
func (p *Proxy) Update(s Split) error {
	if err := s.validate(); err != nil {
		return err
	}
	s = s.clone()

	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.table.Load()

	next := &table{split: s, sequence: old.sequence, direct: true}
	// Connections, ejections and pending counts belong to the URL: a canary
	// that becomes stable keeps them.
	upstreams := make(map[string]*upstream)
	arm := func(a Arm, backends []Backend) (*group, error) {
		g := &group{instances: make([]*instance, 0, len(backends))}
		for _, b := range backends {
			up := upstreams[b.URL]
			if up == nil {
				up = p.upstreams[b.URL]
			}
			if up == nil {
				u, err := parseBackendURL(b.URL)
				if err != nil {
					return nil, err
				}
				up = newUpstream(u, &p.cfg, &p.requests)
			}
			upstreams[b.URL] = up
			next.direct = next.direct && up.pool != nil
			g.instances = append(g.instances, &instance{name: b.Name, up: up,
				judged: p.ledger.judged(a).instance(b.Name),
				forced: p.ledger.forced(a).instance(b.Name)})
		}
		return g, nil
	}
	var err error
	if next.stable, err = arm(Stable, s.Stable); err != nil {
		return fmt.Errorf("proxy split: %w", err)
	}
	if next.canary, err = arm(Canary, s.Canary); err != nil {
		return fmt.Errorf("proxy split: %w", err)
	}
	if next.baseline, err = arm(Baseline, s.Baseline); err != nil {
		return fmt.Errorf("proxy split: %w", err)
	}
	switch {
	case s.Weight != old.split.Weight:
		next.sequence = newSequence(s.Weight, s.BaselineWeight)
	case s.BaselineWeight != old.split.BaselineWeight:
		// The canary's requests go on where they are in their order.
		next.sequence = newSequence(s.Weight, s.BaselineWeight)
		next.sequence.n.Store(old.sequence.n.Load())
	}
	if p.sticky != nil {
		p.sticky.setWeight(s.Weight)
	}
	p.table.Store(next)

	for url, up := range p.upstreams {
		if upstreams[url] == nil {
			up.retire()
		}
	}
	p.upstreams = upstreams
	p.ledger.judged(Stable).keepOnly(next.stable.names())
	p.ledger.judged(Canary).keepOnly(next.canary.names())
	p.ledger.judged(Baseline).keepOnly(next.baseline.names())
	p.ledger.forced(Stable).keepOnly(next.stable.names())
	p.ledger.forced(Canary).keepOnly(next.canary.names())
	return nil
}

// Split is the split in force.
func (p *Proxy) Split() Split { return p.table.Load().split.clone() }

// Inflight is the number of requests and upgraded connections that the arm is
// serving now, forced ones included.
func (p *Proxy) Inflight(a Arm) int {
	return int(p.ledger.judged(a).total.inflight.Load() + p.ledger.forced(a).total.inflight.Load())
}

// InstanceInflight is the same of one instance of the arm, also when it has just
// left the split: it may be stopped when this is 0.
func (p *Proxy) InstanceInflight(a Arm, name string) int {
	return p.ledger.judged(a).inflight(name) + p.ledger.forced(a).inflight(name)
}

// Drain waits until the arm serves no request any more, or ctx ends. It changes
// no weight: the caller has taken it to 0 (or removed the backends) before.
func (p *Proxy) Drain(ctx context.Context, a Arm) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.Inflight(a) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("draining %s: %d requests still in flight: %w", a, p.Inflight(a), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// Snapshot is what has been counted since New.
func (p *Proxy) Snapshot() Stats {
	return Stats{
		At:           time.Now(),
		Stable:       p.ledger.judged(Stable).snapshot(),
		Canary:       p.ledger.judged(Canary).snapshot(),
		Baseline:     p.ledger.judged(Baseline).snapshot(),
		ForcedStable: p.ledger.forced(Stable).snapshot(),
		ForcedCanary: p.ledger.forced(Canary).snapshot(),
	}
}

// Handler is the proxy without its server, for embedding and for tests.
func (p *Proxy) Handler() http.Handler { return http.HandlerFunc(p.forward) }

// Serve accepts on ln until Shutdown, then returns http.ErrServerClosed. It may
// run on several listeners at once. The proxy closes ln.
func (p *Proxy) Serve(ln net.Listener) error { return p.server.serve(ln) }

// Shutdown stops accepting, finishes what is in flight (upgraded connections
// too), asks clients with open connections to go elsewhere, and closes what is
// idle. When ctx ends first, what is left is cut and ctx's error returned.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.server.shutdown(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, up := range p.upstreams {
		up.retire()
	}
	return err
}
