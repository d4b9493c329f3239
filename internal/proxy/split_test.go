package proxy

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// Any run of requests, wherever it begins, holds the canary's share rounded down
// or up; the first n never hold more than it.
func TestSequenceIsExactInEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.IntRange(0, 100).Draw(t, "weight")
		from := rapid.IntRange(0, 400).Draw(t, "from")
		length := rapid.IntRange(1, 500).Draw(t, "length")
		s := newSequence(weight, 0)
		total, window := 0, 0
		for i := range from + length {
			if s.next() == Canary {
				total++
				if i >= from {
					window++
				}
			}
			if total*100 > (i+1)*weight {
				t.Fatalf("after %d requests %d were the canary's: more than %d %%", i+1, total, weight)
			}
		}
		low, high := length*weight/100, (length*weight+99)/100
		if window < low || window > high {
			t.Fatalf("%d requests from %d: %d to the canary, want %d to %d", length, from, window, low, high)
		}
	})
}

func TestSequenceIsExactUnderConcurrency(t *testing.T) {
	const goroutines, each, weight = 8, 12_500, 7
	s := newSequence(weight, 0)
	var canary atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if s.next() == Canary {
					canary.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got, want := canary.Load(), int64(goroutines*each*weight/100); got != want {
		t.Fatalf("canary got %d of %d requests, want exactly %d", got, goroutines*each, want)
	}
}

func TestSplitsThatCannotBeServedAreRefused(t *testing.T) {
	a := []Backend{{"a", "http://127.0.0.1:1"}}
	tests := []struct {
		name  string
		split Split
		want  string
	}{
		{"weight below 0", Split{Weight: -1, Stable: a}, "0 to 100"},
		{"weight above 100", Split{Weight: 101, Stable: a, Canary: a}, "0 to 100"},
		{"no stable", Split{Weight: 5, Canary: a}, "stable"},
		{"no canary", Split{Weight: 5, Stable: a}, "canary"},
		{"no name", Split{Stable: []Backend{{"", "http://h:1"}}}, "no name"},
		{"one name twice", Split{Stable: []Backend{{"a", "http://h:1"}, {"a", "http://h:2"}}}, `"a"`},
		{"scheme", Split{Stable: []Backend{{"a", "ftp://h:1"}}}, "http, https or h2c"},
		{"no host", Split{Stable: []Backend{{"a", "http://:80"}}}, "no host"},
		{"path", Split{Stable: []Backend{{"a", "http://h/x"}}}, "only scheme, host and port"},
		{"password, which must not be printed", Split{Stable: []Backend{{"a", "http://u:secret@h"}}}, "only scheme"},
	}
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := p.Update(test.split)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatalf("the error shows the password: %v", err)
			}
			if got := p.Split(); got.Weight != 0 || got.Stable != nil {
				t.Fatalf("the refused split changed the one in force: %+v", got)
			}
		})
	}
}

// The runner asserts the same split again and again; that must not restart the
// sequence, or a canary with rare requests would never get one.
func TestUpdatingToTheSameWeightGoesOnCounting(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := Split{Weight: 5, Stable: []Backend{{"a", "http://127.0.0.1:1"}}, Canary: []Backend{{"b", "http://127.0.0.1:2"}}}
	canary := 0
	for range 1000 {
		if err := p.Update(s); err != nil {
			t.Fatal(err)
		}
		if p.table.Load().sequence.next() == Canary {
			canary++
		}
	}
	if canary != 50 {
		t.Fatalf("canary got %d of 1000 requests, want 50", canary)
	}
}

// The baseline's share of what the canary leaves is as even, and the canary's
// requests are the same with it as without.
func TestTheBaselineTakesItsShareOfTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.IntRange(1, 99).Draw(t, "weight")
		baseline := rapid.IntRange(0, 100-weight).Draw(t, "baseline")
		from := rapid.Uint64Range(0, 400).Draw(t, "from")
		with, without := newSequence(weight, baseline), newSequence(weight, 0)
		got := 0
		for i := range uint64(100) {
			a := with.at(from + i)
			if (a == Canary) != (without.at(from+i) == Canary) {
				t.Fatalf("request %d is %s's with a baseline", from+i, a)
			}
			if a == Baseline {
				got++
			}
		}
		if got != baseline {
			t.Fatalf("%d of a hundred to the baseline, want %d", got, baseline)
		}
	})
}
