package proxy

import (
	"net/http"
	"net/http/httputil"
	"time"
)

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	t := p.table.Load()
	arm := t.sequence.next()
	in := t.group(arm).pick(time.Now(), nil, arm == Stable)
	if in == nil {
		http.Error(w, "no backend", http.StatusServiceUnavailable)
		return
	}
	start := time.Now()
	total := &p.ledger.judged(arm).total
	total.start()
	in.judged.start()
	in.up.pending.Add(1)
	rp := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = in.up.url.Scheme, in.up.url.Host
			pr.Out.Host = pr.In.Host
			pr.SetXForwarded()
		},
		Transport: in.up.transport,
	}
	rp.ServeHTTP(w, r)
	in.up.pending.Add(-1)
	o := outcome{class: noError, timed: true, latency: time.Since(start)}
	total.finish(o)
	in.judged.finish(o)
}
