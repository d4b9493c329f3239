package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// figures are one measurement. Times are in microseconds.
type figures struct {
	rps, p50, p99, cpu, failed float64
}

func median(all []figures) figures {
	if len(all) == 0 {
		return figures{}
	}
	of := func(field func(figures) float64) float64 {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = field(f)
		}
		slices.Sort(values)
		if n := len(values); n%2 == 0 {
			return (values[n/2-1] + values[n/2]) / 2
		}
		return values[len(values)/2]
	}
	worst := 0.0
	for _, f := range all {
		worst = max(worst, f.failed)
	}
	return figures{
		rps:    of(func(f figures) float64 { return f.rps }),
		p50:    of(func(f figures) float64 { return f.p50 }),
		p99:    of(func(f figures) float64 { return f.p99 }),
		cpu:    of(func(f figures) float64 { return f.cpu }),
		failed: worst,
	}
}

// measure loads a peer and reads how much CPU it used.
func measure(ctx context.Context, p *peer, c benchCase, length time.Duration, cores string) (figures, error) {
	before, err := p.cpu()
	if err != nil {
		return figures{}, err
	}
	run, url := runWrk, p.url
	switch c.over {
	case overTLS:
		url = p.secure
	case overHTTP2:
		run, url = runH2load, p.secure
	}
	w, err := run(ctx, url+c.path, c.connections, length, cores)
	if err != nil {
		return figures{}, err
	}
	after, err := p.cpu()
	if err != nil {
		return figures{}, err
	}
	if w.requests == 0 {
		return figures{}, fmt.Errorf("no request was answered")
	}
	return figures{rps: w.rps, p50: w.p50, p99: w.p99, failed: w.failed,
		cpu: float64((after - before).Microseconds()) / w.requests}, nil
}

type loadResult struct {
	requests, rps, p50, p99, failed float64
}

// wrkReport prints one line that is easy to read back, instead of wrk's prose.
const wrkReport = `done = function(s, l, r)
  local e = s.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
`

var wrkLine = regexp.MustCompile(`RESULT (\d+) (\d+) (\d+) (\d+) (\d+)`)

func runWrk(ctx context.Context, url string, connections int, length time.Duration, cores string) (loadResult, error) {
	script, err := os.CreateTemp("", "serin-bench-*.lua")
	if err != nil {
		return loadResult{}, err
	}
	defer os.Remove(script.Name())
	if _, err := script.WriteString(wrkReport); err != nil {
		return loadResult{}, err
	}
	if err := script.Close(); err != nil {
		return loadResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, length+20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "taskset", "-c", cores, "wrk", "-t1", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(wholeSeconds(length))+"s", "--timeout", "5s", "-s", script.Name(), url)
	out, err := runLoad(cmd)
	m := wrkLine.FindStringSubmatch(out)
	if m == nil {
		if err == nil {
			err = errors.New("though it ended well")
		}
		return loadResult{}, fmt.Errorf("wrk printed no result (%w): %s", err, lastLine(out))
	}
	n := make([]float64, 6)
	for i := 1; i < 6; i++ {
		n[i], _ = strconv.ParseFloat(m[i], 64)
	}
	return loadResult{requests: n[1], rps: n[1] / (n[2] / 1e6), p50: n[3], p99: n[4], failed: n[5]}, nil
}
