package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

func testConcurrentSaves(t *testing.T, s store.Store) {
	create(t, s, "shop", "a")
	const savers, each = 6, 15
	var saved atomic.Int64
	var wg sync.WaitGroup
	for n := range savers {
		wg.Go(func() {
			for i := range each {
				for {
					r, err := s.Load(ctx(t), "a")
					if err != nil {
						t.Error(err)
						return
					}
					r.State.Phase++
					_, err = s.Save(ctx(t), r, store.Change{Lines: []record.Line{Line(fmt.Sprintf("%d/%d", n, i))}})
					if errors.Is(err, store.ErrConflict) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					saved.Add(1)
					break
				}
			}
		})
	}
	wg.Wait()
	first := NewRun(t, "shop", "a").State.Phase
	r, err := s.Load(ctx(t), "a")
	must(t, err)
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if r.State.Phase-first != savers*each || len(lines) != savers*each || saved.Load() != savers*each {
		t.Errorf("%d saves: the state counts %d, the record %d", saved.Load(), r.State.Phase-first, len(lines))
	}
	unique(t, lines)
}

func testConcurrentCreates(t *testing.T, s store.Store) {
	var won atomic.Int64
	var wg sync.WaitGroup
	run := NewRun(t, "shop", "")
	for n := range 8 {
		wg.Go(func() {
			r := run
			r.ID = fmt.Sprint(n)
			switch err := s.Create(ctx(t), r, nil, nil); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrActive):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d runs were created", won.Load())
	}
}

func testContext(t *testing.T, s store.Store) {
	r := create(t, s, "shop", "a")
	over, cancel := context.WithCancel(ctx(t))
	cancel()
	r.State.Phase = 2
	_, err := s.Save(over, r, store.Change{Lines: []record.Line{Line("x")}})
	got, err2 := s.Load(ctx(t), "a")
	must(t, err2)
	if (err == nil) != (got.State.Phase == 2) {
		t.Errorf("Save says %v and the state is at phase %d", err, got.State.Phase)
	}
}
