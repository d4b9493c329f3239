//go:build plane

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what is measured, and how.
type options struct {
	idle              []int
	running, replicas int
	weight            int
	interval, scrape  time.Duration
	settle, measure   time.Duration
	rate              float64
	program, keep     string
}

func main() {
	var o options
	idle := flag.String("idle", "500,1000", "numbers of idle rollouts at which the controller is measured, rising")
	flag.IntVar(&o.running, "running", 200, "runs that go on at the same time; 0: only idle rollouts")
	flag.IntVar(&o.weight, "weight", 5, "percent of the requests that a canary has when it turns bad; the smaller, the fewer ticks prove it")
	flag.IntVar(&o.replicas, "replicas", 2, "pods of a Deployment")
	flag.DurationVar(&o.interval, "interval", 10*time.Second, "time between the ticks of a run")
	flag.DurationVar(&o.scrape, "scrape", 5*time.Second, "how often Prometheus scrapes")
	flag.DurationVar(&o.settle, "settle", 30*time.Second, "rest before a measurement")
	flag.DurationVar(&o.measure, "measure", time.Minute, "time of a measurement")
	flag.Float64Var(&o.rate, "rate", 100, "requests a second of a rollout, both arms together")
	flag.StringVar(&o.program, "serin", "", "the program to measure; default: build it")
	flag.StringVar(&o.keep, "keep", "", "folder for the logs of everything; default: a temporary one that is removed")
	flag.Parse()
	for text := range strings.SplitSeq(*idle, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || len(o.idle) > 0 && n <= o.idle[len(o.idle)-1] {
			fmt.Fprintf(os.Stderr, "-idle %s: write rising numbers with commas in between, such as 500,1000\n", *idle)
			os.Exit(2)
		}
		o.idle = append(o.idle, n)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var t table
	err := run(ctx, o, &t)
	t.print(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if t.missed {
		fmt.Println("a bar is MISSED")
		os.Exit(1)
	}
	fmt.Println("every bar is met")
}

func run(ctx context.Context, o options, t *table) error {
	w, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	n := 0
	for _, want := range o.idle {
		began := time.Now()
		if err := w.add(ctx, "idle", n, want); err != nil {
			return err
		}
		n = want
		w.say("%d rollouts are ready after %s", n, time.Since(began).Round(time.Second))
		if err := w.idle(ctx, n, t); err != nil {
			return err
		}
	}
	if o.running == 0 {
		return nil
	}
	return w.busy(ctx, n, t)
}
