package prometheus

import (
	"fmt"
	"maps"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// signal is what a query's counts become in a sample.
type signal string

const (
	requests   signal = "requests"
	errored    signal = "errors"
	latency    signal = "latency"
	exceptions signal = "exceptions"
	complaints signal = "complaints"
	trials     signal = "trials"
	successes  signal = "successes"
	count      signal = "count"
	sum        signal = "sum"
	sumSquares signal = "sumSquares"
	cpu        signal = "cpu"
	memory     signal = "memory"
	limit      signal = "limit"
)

// query is one selector and what it is for.
type query struct {
	// field is its place in the configuration, for messages.
	field    string
	signal   signal
	business string // the name of a business metric
	selector selector
	// instance is the label that tells instances of an arm apart; empty when
	// nothing does.
	instance string
}

// isHistogram says that the selector names a histogram.
func (q query) isHistogram() bool { return q.signal == latency }

// timed are the selectors of series that every scrape has with the query's; each
// has one metric.
func (q query) timed(values map[string]string) []string {
	if q.isHistogram() {
		return []string{q.selector.named(q.selector.name + "_count").render(values), q.selector.render(values)}
	}
	return []string{q.selector.render(values)}
}

// plan is everything that is asked for in a tick.
type plan struct {
	// counts are what ticks are made of.
	counts []query
	// byInstance are the same figures from the instances themselves, where
	// counts come from a router that knows none.
	byInstance []query
	// usage are processor time, memory and its limit.
	usage []query
	unit  Unit
	// instanceUnit is the unit of byInstance's response times.
	instanceUnit    Unit
	class, critical string
}

// newPlan reads a configuration. onCluster adds the pods' processor time and
// memory unless the file says otherwise.
func newPlan(c Config, onCluster bool) (plan, []rollout.Problem) {
	p := plan{class: "class", critical: c.Queries.Exceptions.Critical}
	if c.Queries.Exceptions.Class != "" {
		p.class = c.Queries.Exceptions.Class
	}
	var found []rollout.Problem
	add := func(list *[]query, field, text string, q query) {
		if text == "" {
			return
		}
		s, err := parseSelector(text)
		if err != nil {
			found = append(found, rollout.Problem{Field: field, Message: err.Error(), Mend: `write a counter and its labels, such as http_requests_total{version="$(version)"}`})
			return
		}
		q.field, q.selector = field, s
		*list = append(*list, q)
	}
	from := presets[c.Preset]
	// pick takes what the file says, else what the preset does.
	pick := func(field, own, preset string) (string, string, string) {
		if own != "" {
			return "queries." + field, own, c.InstanceLabel
		}
		return field + " of the preset " + string(c.Preset), preset, from.instanceLabel
	}
	traffic := func(list *[]query, sig signal, own, preset string) {
		field := string(sig)
		if sig == latency {
			field = "latency.histogram"
		}
		where, text, instance := pick(field, own, preset)
		if len(from.byInstance.Requests) > 0 && own == "" {
			instance = "" // the router's series name the router's own pods
		}
		add(list, where, text, query{signal: sig, instance: instance})
	}
	own := c.Queries
	traffic(&p.counts, requests, own.Requests, from.queries.Requests)
	traffic(&p.counts, errored, own.Errors, from.queries.Errors)
	traffic(&p.counts, latency, own.Latency.Histogram, from.queries.Latency.Histogram)
	p.unit = from.queries.Latency.Unit
	if own.Latency.Histogram != "" {
		p.unit = own.Latency.Unit
	}
	add(&p.counts, "queries.exceptions.counter", own.Exceptions.Counter, query{signal: exceptions, instance: c.InstanceLabel})
	add(&p.counts, "queries.complaints", own.Complaints, query{signal: complaints})
	for _, name := range slices.Sorted(maps.Keys(own.Business)) {
		b := own.Business[name]
		for _, part := range []struct {
			signal signal
			text   string
		}{{trials, b.Trials}, {successes, b.Successes}, {count, b.Count}, {sum, b.Sum}, {sumSquares, b.SumSquares}} {
			add(&p.counts, fmt.Sprintf("queries.business.%s.%s", name, part.signal), part.text, query{signal: part.signal, business: name})
		}
	}
	if own.Requests == "" && from.byInstance.Requests != "" {
		aside := func(sig signal, text string) {
			add(&p.byInstance, string(sig)+" by instance of the preset "+string(c.Preset), text, query{signal: sig, instance: from.instanceLabel})
		}
		aside(requests, from.byInstance.Requests)
		aside(errored, from.byInstance.Errors)
		aside(latency, from.byInstance.Latency.Histogram)
		p.instanceUnit = from.byInstance.Latency.Unit
	}
	containers := onCluster
	if c.Containers != nil {
		containers = *c.Containers
	}
	use := func(sig signal, own, fromContainers string) {
		switch {
		case own != "":
			label := c.InstanceLabel
			if label == "" {
				label = "instance" // every scraped series has it
			}
			add(&p.usage, "queries."+string(sig), own, query{signal: sig, instance: label})
		case containers:
			add(&p.usage, string(sig)+" of containers", fromContainers, query{signal: sig, instance: cadvisor.instanceLabel})
		}
	}
	use(cpu, own.CPU, cadvisor.queries.CPU)
	use(memory, own.Memory, cadvisor.queries.Memory)
	if own.Memory == "" {
		use(limit, "", cadvisor.limit)
	}
	return p, found
}

// all lists every query of the plan.
func (p plan) all() []query { return slices.Concat(p.counts, p.byInstance, p.usage) }
