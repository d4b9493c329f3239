// Command proxy measures Serin's proxy beside HAProxy, nginx and Caddy, in one
// run on one machine, and prints ratios: absolute figures mean little on a
// machine that others use too.
//
// Every proxy gets one core, the origin server (nginx) and the load (wrk, for
// HTTP/2 h2load) share another; they run in turns (A B C D, A B C D, …) and the median of the rounds
// counts. Serin does its whole work meanwhile: a weighted split over two arms,
// and statistics for both.
//
// The second part measures how long after a switch back to 0 % the canary still
// gets requests, and whether users notice switches and killed canaries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// ahead: the bench was started with nice -20 and its processes go first.
var ahead bool

func main() {
	role := flag.String("role", "", "internal: run as the measured proxy")
	short := flag.Bool("short", false, "fewer and shorter rounds (under a minute)")
	rounds := flag.Int("rounds", 5, "rounds; the median counts")
	each := flag.Duration("each", 4*time.Second, "length of one measurement, in whole seconds")
	only := flag.String("only", "", "comma-separated peers to measure (serin,haproxy,nginx,caddy); default all")
	match := flag.String("match", "", "measure only the cases whose name holds this")
	skipPeers := flag.Bool("skip-peers", false, "do not measure throughput and latency")
	skipSwitch := flag.Bool("skip-switch", false, "do not measure switches")
	install := flag.Bool("install", true, "install missing peers with apt-get")
	profile := flag.String("cpuprofile", "", "write a CPU profile of Serin's proxy to this file")
	flag.Parse()

	switch *role {
	case "serin":
		exitOn(runSerin(flag.Args(), *profile))
		return
	case "origin":
		exitOn(runOrigin(flag.Args()))
		return
	}
	var err error
	if ahead, err = goAhead(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: measuring without being put in front:", err)
	}
	if *short {
		*rounds, *each = 2, time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !*skipPeers {
		err = bench(ctx, options{rounds: *rounds, each: *each, only: splitList(*only), match: *match, install: *install, profile: *profile})
	}
	if err == nil && !*skipSwitch {
		// Here the proxy runs in this process; its session is the caller's.
		if ahead {
			err = setSession(os.Getpid(), "-20")
		}
		err = errors.Join(err, benchSwitch(ctx, *short))
		if ahead {
			err = errors.Join(err, setSession(os.Getpid(), "0"))
		}
	}
	exitOn(err)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

type options struct {
	rounds  int
	each    time.Duration
	only    []string
	match   string
	install bool
	profile string
}

// The figures that are measured, and the cases they are measured in.
type benchCase struct {
	connections int
	path        string
	name        string
	over        protocol
}

// protocol is what the load generator speaks.
type protocol int

const (
	overTCP protocol = iota
	overTLS
	overHTTP2 // with TLS
)

var benchCases = []benchCase{
	{1, "/small", "1 connection, small", overTCP},
	{1, "/64k", "1 connection, 64 KB", overTCP},
	{64, "/small", "64 connections, small", overTCP},
	{64, "/64k", "64 connections, 64 KB", overTCP},
	{64, "/small", "TLS, 64 connections, small", overTLS},
	{64, "/64k", "TLS, 64 connections, 64 KB", overTLS},
	{16, "/small", "HTTP/2, 16 connections of 8 streams, small", overHTTP2},
}

func bench(ctx context.Context, o options) error {
	need := map[string]string{"wrk": "wrk", "nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy", "h2load": "nghttp2-client"}
	if err := ensureInstalled(ctx, need, o.install); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "serin-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for configurations: %w", err)
	}
	defer os.RemoveAll(dir)

	if err := writeCertificate(dir); err != nil {
		return err
	}
	cores, err := splitCores()
	if err != nil {
		return err
	}
	origin, err := startOrigin(ctx, dir, cores.load)
	if err != nil {
		return err
	}
	defer origin.stop()

	var running []*peer
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, start := range peers(o) {
		p, err := start(ctx, dir, cores.proxy, origin)
		if err != nil {
			return err
		}
		running = append(running, p)
		if _, err := runWrk(ctx, p.url+"/small", 64, time.Second, cores.load); err != nil {
			return fmt.Errorf("warming up %s: %w", p.name, err)
		}
	}

	fmt.Printf("proxy: one core each (%s); origin and load on %s; %d rounds of %v, medians\n", cores.proxy, cores.load, o.rounds, o.each)
	for _, p := range running {
		fmt.Printf("  %-8s %s\n", p.name, p.version)
	}
	for _, c := range benchCases {
		if !strings.Contains(c.name, o.match) {
			continue
		}
		results := make(map[string][]figures)
		for range o.rounds {
			for _, p := range running {
				f, err := measure(ctx, p, c, o.each, cores.load)
				if err != nil {
					return fmt.Errorf("measuring %s, %s: %w", p.name, c.name, err)
				}
				results[p.name] = append(results[p.name], f)
			}
		}
		printCase(c, running, results)
	}
	return nil
}

func printCase(c benchCase, peers []*peer, results map[string][]figures) {
	fmt.Printf("\n%s\n  %-8s %11s %9s %9s %11s   %-34s\n", c.name, "", "requests/s", "p50 µs", "p99 µs", "CPU µs/req", "Serin / this (req/s, p50, p99, CPU)")
	serin := median(results["serin"])
	for _, p := range peers {
		m := median(results[p.name])
		fmt.Printf("  %-8s %11.0f %9.0f %9.0f %11.1f", p.name, m.rps, m.p50, m.p99, m.cpu)
		if p.name != "serin" && len(results["serin"]) > 0 {
			fmt.Printf("   %.2f  %.2f  %.2f  %.2f", serin.rps/m.rps, serin.p50/m.p50, serin.p99/m.p99, serin.cpu/m.cpu)
		}
		if m.failed > 0 {
			fmt.Printf("   FAILED REQUESTS: %.0f", m.failed)
		}
		fmt.Println()
	}
}

// ensureInstalled installs missing commands, given with their Debian packages.
func ensureInstalled(ctx context.Context, need map[string]string, install bool) error {
	var missing []string
	for command, pkg := range need {
		if _, err := exec.LookPath(command); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("not installed: %s; install them or leave out -install=false", strings.Join(missing, ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("installing %s with apt-get: %w; install them yourself", strings.Join(missing, ", "), err), errors.New(lastLine(string(out))))
	}
	return nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
