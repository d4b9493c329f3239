//go:build plane

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/plane"
)

// options are what is measured, and how.
type options struct {
	n, atOnce, rate int
	kinds           []kind
	intervals       []time.Duration
	scrape, watch   time.Duration
	program         string
}

// kind is a kind of version that is released.
type kind struct {
	name, what string
	// stable and canary are the faults of the two.
	stable, canary []string
	bad            bool
}

var allKinds = []kind{
	{name: "bad50", what: "50 % errors", canary: []string{"-errors=0.5"}, bad: true},
	{name: "bad5", what: "5 % errors", canary: []string{"-errors=0.05"}, bad: true},
	{name: "slow", what: "+50 % response time", canary: []string{"-delay=30ms"}, bad: true},
	{name: "noisy", what: "0.5 % errors in both", stable: []string{"-errors=0.005"}, canary: []string{"-errors=0.005"}},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == sampleArg {
		os.Exit(sample(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.n, "n", 20, "releases of every kind at every interval")
	flag.IntVar(&o.atOnce, "at-once", 4, "shops that release at the same time")
	flag.IntVar(&o.rate, "rate", 100, "requests a second of a shop")
	kinds := flag.String("kinds", "bad50,bad5,slow,noisy", "what is released")
	intervals := flag.String("intervals", "10s,5s", "times between ticks")
	flag.DurationVar(&o.scrape, "scrape", 5*time.Second, "how often Prometheus scrapes")
	flag.DurationVar(&o.watch, "watch", 5*time.Minute, "how long a release is watched at most; a noisy one is healthy when it has lasted as long")
	flag.Parse()
	for name := range strings.SplitSeq(*kinds, ",") {
		at := slices.IndexFunc(allKinds, func(k kind) bool { return k.name == name })
		if at < 0 {
			fmt.Fprintf(os.Stderr, "-kinds %s: there is no kind %q\n", *kinds, name)
			os.Exit(2)
		}
		o.kinds = append(o.kinds, allKinds[at])
	}
	for text := range strings.SplitSeq(*intervals, ",") {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			fmt.Fprintf(os.Stderr, "-intervals %s: write times such as 10s,5s\n", *intervals)
			os.Exit(2)
		}
		o.intervals = append(o.intervals, d)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	met, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if !met {
		fmt.Println("a bar is MISSED")
		os.Exit(1)
	}
	fmt.Println("every bar is met")
}

// bench is the plane and how it is reached.
type bench struct {
	options
	plane *plane.Plane
	admin client.Client
}

func run(ctx context.Context, o options) (met bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	if o.program, err = build(ctx); err != nil {
		return false, err
	}
	po := plane.Full()
	po.ScrapeInterval = o.scrape
	po.Kubelet.Programs = map[string][]string{"sample": {self, sampleArg}, "serin": {o.program}}
	if err := plane.Enter(ctx, po); err != nil {
		return false, err
	}
	defer os.RemoveAll(filepath.Dir(o.program))
	p, err := plane.Start(ctx, po)
	if err != nil {
		return false, err
	}
	defer p.Close()
	b := &bench{options: o, plane: p}
	if b.admin, err = client.New(p.Admin, client.Options{Scheme: kube.Scheme()}); err != nil {
		return false, err
	}
	out, err := exec.CommandContext(ctx, o.program, "install", "--kubeconfig", p.Kubeconfig, "--image", "serin:bench",
		"--version", "v0.1.0", "--prometheus-url", plane.PrometheusURL).CombinedOutput()
	if err != nil {
		return false, fmt.Errorf("serin install: %w: %s", err, out)
	}
	fmt.Printf("%d requests a second a shop, two pods, Prometheus scrapes every %s, %d shops at once\n\n", o.rate, o.scrape, o.atOnce)
	t := table{all: map[group][]outcome{}}
	b.releases(ctx, &t)
	return t.print(os.Stdout, o), ctx.Err()
}

// releases makes every release, several at a time.
func (b *bench) releases(ctx context.Context, t *table) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, b.atOnce)
	number := 0
	// Every kind in turn, so that a bench that is ended early has some of each.
	for range b.n {
		for _, interval := range b.intervals {
			for _, k := range b.kinds {
				number++
				slots <- struct{}{}
				if ctx.Err() != nil {
					wait.Wait()
					return
				}
				name := fmt.Sprintf("shop-%d", number)
				wait.Go(func() {
					defer func() { <-slots }()
					o := b.release(ctx, name, k, interval)
					if ctx.Err() == nil {
						t.add(group{k.name, interval}, o)
					}
				})
			}
		}
	}
	wait.Wait()
}

// build builds the program once, outside of the plane's network.
func build(ctx context.Context) (string, error) {
	const variable = "SERIN_BENCH_PROGRAM_DIR"
	dir := os.Getenv(variable)
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "serin-bench-release-"); err != nil {
			return "", err
		}
		if err := os.Setenv(variable, dir); err != nil {
			return "", err
		}
	}
	to := filepath.Join(dir, "serin")
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "serin.dev/serin/cmd/serin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build serin: %w: %s", err, out)
	}
	return to, nil
}
