package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
)

var (
	seeds = flag.Uint64("faults.seeds", 10000, "how many seeds to run")
	from  = flag.Uint64("faults.first", 1, "the first of them")
	only  = flag.Uint64("faults.seed", 0, "run this seed alone and print its dialogue")
)

func scheduleOf(seed uint64) schedule { return random(rand.New(rand.NewPCG(seed, 2))) }

// dialogue runs a failing seed again with as few faults as still break it.
func dialogue(seed uint64, faults schedule) string {
	var b strings.Builder
	faults = shrink(seed, faults)
	fmt.Fprintf(&b, "faults: %v\n", faults)
	res := simulate(seed, faults, func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) })
	fmt.Fprintf(&b, "broken: %s\nrun it again: go test ./test/faults -run TestFaults -faults.seed=%d\n", res.Violation, seed)
	return b.String()
}

func TestAHealthyRunIsPromoted(t *testing.T) {
	res := simulate(1, nil, t.Logf)
	if res.Violation != "" || res.Status != engine.Promoted {
		t.Fatalf("got %+v, want promoted", res)
	}
}

func TestFaults(t *testing.T) {
	if *only != 0 {
		res := simulate(*only, scheduleOf(*only), t.Logf)
		if res.Violation != "" {
			t.Fatal(dialogue(*only, scheduleOf(*only)))
		}
		return
	}
	began := time.Now()
	var next, steps atomic.Uint64
	var mu sync.Mutex
	ends := map[string]int{}
	failures := 0
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := *from + next.Add(1) - 1
				mu.Lock()
				enough := failures >= 3
				mu.Unlock()
				if seed-*from >= *seeds || enough {
					return
				}
				faults := scheduleOf(seed)
				res := simulate(seed, faults, nil)
				steps.Add(uint64(res.Steps))
				mu.Lock()
				end := string(res.Status)
				if res.Waiting {
					end = "waiting"
				}
				ends[end]++
				if res.Violation != "" {
					failures++
					t.Errorf("seed %d\n%s", seed, dialogue(seed, faults))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %d steps in %s: %v", *seeds, steps.Load(), time.Since(began).Round(time.Millisecond), ends)
	// A simulator whose runs all end the same way tests little.
	for _, end := range []string{string(engine.Promoted), string(engine.RolledBack), "waiting"} {
		if *seeds >= 1000 && failures == 0 && ends[end] == 0 {
			t.Errorf("no seed ended %s", end)
		}
	}
}

// Seeds of longer soaks that found something.
func TestSeedsOfSoaks(t *testing.T) {
	for _, seed := range []uint64{15821, 35481, 45881, 62325, 64242, 76495} {
		if res := simulate(seed, scheduleOf(seed), nil); res.Violation != "" {
			t.Errorf("seed %d\n%s", seed, dialogue(seed, scheduleOf(seed)))
		}
	}
}

// Every pair of kinds, the second right after the first, at moments spread over
// a run.
func TestPairsOfFaults(t *testing.T) {
	failures := 0
	for _, a := range kinds {
		for _, b := range kinds {
			for _, at := range []int{3, 20, 47, 90, 140} {
				faults := schedule{{at: at, kind: a}, {at: at + 1, kind: b}}
				if res := simulate(1, faults, nil); res.Violation != "" {
					if failures++; failures <= 3 {
						t.Errorf("%v\n%s", faults, dialogue(1, faults))
					}
				}
			}
		}
	}
}
