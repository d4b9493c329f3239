// Command program measures what serin itself costs on one machine: the memory
// of `serin run` while a phase is watched and nobody comes, the time from the
// start of the program to the first request that the proxy has answered, beside
// that of the same version started by hand with Caddy put before it, in turns,
// and what the daemon uses of a processor while nothing happens. It prints each
// figure beside its bar and exits with 1 when one is missed.
//
//	go run ./test/bench/program              # builds the program and measures it
//	go run ./test/bench/program -serin bin/serin
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"serin.dev/serin/test/bench/shipped"
)

// The bars: the first two are those the project has set itself; the third is
// what a laptop's owner would not notice.
const (
	memoryBar = 60 << 20
	startBar  = 150 * time.Millisecond
	idleBar   = 0.02
)

const (
	starts = 9
	settle = 10 * time.Second
	idle   = 6 * time.Second
)

func main() {
	program := flag.String("serin", "", "the program to measure; default: build it")
	flag.Parse()
	met, err := measureAll(*program)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if !met {
		fmt.Println("a bar is NOT met")
		os.Exit(1)
	}
	fmt.Println("every bar is met")
}

func measureAll(program string) (met bool, err error) {
	dir, err := os.MkdirTemp("", "serin-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if program == "" {
		program = filepath.Join(dir, "serin")
		if err := shipped.Build(context.Background(), program); err != nil {
			return false, err
		}
	} else if program, err = filepath.Abs(program); err != nil {
		return false, err
	}

	version := filepath.Join(dir, "shop")
	if err := shipped.BuildPackage(context.Background(), "serin.dev/serin/test/bench/program/shop", version); err != nil {
		return false, err
	}

	met = true
	tell := func(what, figure, bar string, ok bool) {
		verdict := "ok"
		if !ok {
			verdict, met = "NOT MET", false
		}
		fmt.Printf("%-52s %-34s bar %-10s %s\n", what, figure, bar, verdict)
	}

	took, peer, memory, err := measureRun(program, version, dir)
	if err != nil {
		return false, err
	}
	start, beside := middle(took), middle(peer)
	tell("serin run: start to the first proxied request", spread(took), startBar.String(), start <= startBar)
	fmt.Printf("%-52s %s, serin %.2f of it\n", "  the same version by hand, then Caddy", spread(peer), float64(start)/float64(beside))
	tell("serin run: resident memory, idle in a phase", megabytes(memory), megabytes(memoryBar), memory <= memoryBar)

	use, memory, err := measureDaemon(program, version, dir)
	if err != nil {
		return false, err
	}
	tell("serin serve: processor, idle", fmt.Sprintf("%.2f %% of one core over %s", 100*use, idle), fmt.Sprintf("%.0f %%", 100*idleBar), use <= idleBar)
	tell("serin serve: resident memory, idle", megabytes(memory), megabytes(memoryBar), memory <= memoryBar)
	return met, nil
}

// middle sorts them.
func middle(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// spread is of sorted ones.
func spread(took []time.Duration) string {
	return fmt.Sprintf("median %s (%s to %s, %d starts)", took[len(took)/2].Round(time.Millisecond),
		took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }

// measureRun starts serin run and its peer in turns; the last run is left alone
// for a while and then weighed.
func measureRun(program, version, dir string) (took, peer []time.Duration, memory int64, err error) {
	for n := range starts {
		beside, err := besideCaddy(version, filepath.Join(dir, fmt.Sprint("peer", n)))
		if err != nil {
			return nil, nil, 0, err
		}
		peer = append(peer, beside)
		s, err := start(program, "run", version, filepath.Join(dir, fmt.Sprint("run", n)))
		if err != nil {
			return nil, nil, 0, err
		}
		d, err := s.firstAnswer()
		if err == nil {
			err = s.begins()
		}
		if err == nil && n == starts-1 {
			time.Sleep(settle)
			memory, err = resident(s.pid())
		}
		if errEnd := s.end(); err == nil {
			err = errEnd
		}
		if err != nil {
			return nil, nil, 0, fmt.Errorf("serin run: %w", err)
		}
		took = append(took, d)
	}
	return took, peer, memory, nil
}

// measureDaemon starts serin serve and watches it do nothing.
func measureDaemon(program, version, dir string) (use float64, memory int64, err error) {
	s, err := start(program, "serve", version, filepath.Join(dir, "serve"))
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if errEnd := s.end(); err == nil {
			err = errEnd
		}
	}()
	if _, err := s.firstAnswer(); err != nil {
		return 0, 0, fmt.Errorf("serin serve: %w", err)
	}
	time.Sleep(settle)
	before, err := processorTime(s.pid())
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	time.Sleep(idle)
	after, err := processorTime(s.pid())
	if err != nil {
		return 0, 0, err
	}
	use = (after - before).Seconds() / time.Since(begun).Seconds()
	memory, err = resident(s.pid())
	return use, memory, err
}
