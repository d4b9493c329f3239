package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"serin.dev/serin/internal/proxy"
)

// switchRate is the open-loop load under which switches are timed.
const switchRate = 2000

// switchTarget is what a switch back may take, p99.
const switchTarget = 50 * time.Millisecond

// benchSwitch measures how long after Update(0 %) the canary still gets requests,
// and whether users notice switches and killed canaries.
func benchSwitch(ctx context.Context, short bool) error {
	switches := 200
	if short {
		switches = 40
	}
	if err := timeSwitches(ctx, switches); err != nil {
		return fmt.Errorf("timing switches: %w", err)
	}
	if err := soak(ctx, 200, 20); err != nil {
		return fmt.Errorf("switching under load: %w", err)
	}
	return nil
}

func timeSwitches(ctx context.Context, switches int) error {
	var lastCanary atomic.Int64 // unix ns of the last request that reached the canary
	stable, err := serveHTTP(func(w http.ResponseWriter, r *http.Request) {})
	if err != nil {
		return err
	}
	defer stable.Close()
	canary, err := serveHTTP(func(w http.ResponseWriter, r *http.Request) { lastCanary.Store(time.Now().UnixNano()) })
	if err != nil {
		return err
	}
	defer canary.Close()
	p, addr, stop, err := serveProxy(proxy.Config{})
	if err != nil {
		return err
	}
	defer stop()
	split := func(weight int) proxy.Split {
		return proxy.Split{Weight: weight,
			Stable: []proxy.Backend{{Name: "stable", URL: "http://" + stable.Addr}},
			Canary: []proxy.Backend{{Name: "canary", URL: "http://" + canary.Addr}}}
	}
	if err := p.Update(split(50)); err != nil {
		return err
	}

	attacker := vegeta.NewAttacker(vegeta.KeepAlive(true), vegeta.Connections(128),
		vegeta.MaxConnections(128), vegeta.MaxWorkers(128), vegeta.Timeout(5*time.Second))
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: "http://" + addr + "/"})
	const on, off = 60 * time.Millisecond, 90 * time.Millisecond
	results := attacker.Attack(target, vegeta.Rate{Freq: switchRate, Per: time.Second}, 2*time.Duration(switches)*(on+off), "switch")
	answered := make(chan vegeta.Metrics, 1)
	go func() {
		var m vegeta.Metrics
		for r := range results {
			m.Add(r)
		}
		m.Close()
		answered <- m
	}()

	var late []time.Duration
	for range switches {
		if ctx.Err() != nil {
			attacker.Stop()
			return ctx.Err()
		}
		time.Sleep(on)
		begin := time.Now()
		if err := p.Update(split(0)); err != nil {
			return err
		}
		time.Sleep(off)
		late = append(late, max(0, time.Duration(lastCanary.Load()-begin.UnixNano())))
		if err := p.Update(split(50)); err != nil {
			return err
		}
	}
	attacker.Stop()
	m := <-answered
	slices.Sort(late)
	p99 := late[(len(late)*99+99)/100-1]
	fmt.Printf("\nswitch to 0 %% at %.0f requests/s, %d times: last request at the canary after p50 %v, p99 %v, max %v (at most %v wanted): %s; %.2f %% of %d requests succeeded\n",
		m.Rate, switches, late[len(late)/2].Round(time.Microsecond), p99.Round(time.Microsecond), late[len(late)-1].Round(time.Microsecond), switchTarget,
		verdict(p99 <= switchTarget), m.Success*100, m.Requests)
	if m.Success < 1 {
		counted := p.Snapshot()
		return fmt.Errorf("requests failed: %v; the proxy counted %v at stable and %v at the canary", m.Errors, counted.Stable.ErrorsByClass, counted.Canary.ErrorsByClass)
	}
	return nil
}

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}

// soak switches through the phases and kills the canary while wrk counts failures.
func soak(ctx context.Context, switches, kills int) error {
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	stable, err := startOriginProcess(ctx, addrs[0])
	if err != nil {
		return err
	}
	defer stopOrigin(stable)
	canary, err := startOriginProcess(ctx, addrs[1])
	if err != nil {
		return err
	}
	defer func() { stopOrigin(canary) }()
	p, addr, stop, err := serveProxy(proxy.Config{EjectFor: 10 * time.Millisecond, EjectMax: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	defer stop()
	split := func(weight int) proxy.Split {
		return proxy.Split{Weight: weight,
			Stable: []proxy.Backend{{Name: "stable", URL: "http://" + addrs[0]}},
			Canary: []proxy.Backend{{Name: "canary", URL: "http://" + addrs[1]}}}
	}
	if err := p.Update(split(0)); err != nil {
		return err
	}
	const step = 25 * time.Millisecond
	length := time.Duration(switches)*step + time.Second
	type outcome struct {
		loadResult
		err error
	}
	loaded := make(chan outcome, 1)
	go func() {
		r, err := runWrk(ctx, "http://"+addr+"/small", 32, length, "0,1")
		loaded <- outcome{r, err}
	}()

	weights := []int{5, 10, 25, 50, 100, 0}
	for i := range switches {
		if err := p.Update(split(weights[i%len(weights)])); err != nil {
			return err
		}
		time.Sleep(step)
		if i%(switches/kills) == switches/kills/2 {
			if err := syscall.Kill(canary.Process.Pid, syscall.SIGKILL); err != nil {
				return fmt.Errorf("killing the canary: %w", err)
			}
			_ = canary.Wait()
			if canary, err = startOriginProcess(ctx, addrs[1]); err != nil {
				return err
			}
		}
	}
	r := <-loaded
	if r.err != nil {
		return r.err
	}
	s := p.Snapshot()
	fmt.Printf("%d switches and %d kill -9 of the canary under wrk: %.0f requests, %.0f failed (none wanted): %s; canary: %d requests, %d of them hidden errors\n",
		switches, kills, r.requests, r.failed, verdict(r.failed == 0), s.Canary.Requests, s.Canary.Fallbacks)
	if r.failed > 0 {
		return errors.New("users noticed")
	}
	return nil
}

func serveHTTP(h http.HandlerFunc) (*http.Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: ln.Addr().String(), Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(ln) }()
	return s, nil
}

func serveProxy(cfg proxy.Config) (p *proxy.Proxy, addr string, stop func(), err error) {
	if p, err = proxy.New(cfg); err != nil {
		return nil, "", nil, err
	}
	ln, err := proxy.Listen("127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	go func() { _ = p.Serve(ln) }()
	return p, ln.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = p.Shutdown(ctx)
	}, nil
}

// runOrigin is the process that is killed.
func runOrigin(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want an address, got %q", args)
	}
	s := &http.Server{Addr: args[0], ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}
	return s.ListenAndServe()
}

func startOriginProcess(ctx context.Context, addr string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role", "origin", addr)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting an origin: %w", err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return cmd, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			stopOrigin(cmd)
			return nil, fmt.Errorf("origin at %s does not accept: %w", addr, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func stopOrigin(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
