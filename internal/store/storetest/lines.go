package storetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/store"
)

func testLines(t *testing.T, s store.Store) {
	create(t, s, "shop", "a", Line("0"), Line("1"))
	create(t, s, "blog", "b", Line("other"))
	must(t, s.Append(ctx(t), "a", []record.Line{Line("2"), Line("3")}))
	must(t, s.Append(ctx(t), "a", nil))
	odd := record.Line("{\"effect\":\"\u2028<&>\\u0000\U0001F600\"}")
	must(t, s.Append(ctx(t), "a", []record.Line{odd}))
	want := []record.Line{Line("0"), Line("1"), Line("2"), Line("3"), odd}
	for _, c := range []struct{ after, limit, from, to int }{{0, 0, 0, 5}, {-3, 0, 0, 5}, {2, 0, 2, 5}, {1, 2, 1, 3}, {4, 9, 4, 5}, {5, 0, 5, 5}, {99, 0, 5, 5}} {
		got, err := s.Lines(ctx(t), "a", c.after, c.limit)
		must(t, err)
		if !bytes.Equal(recordtest.Join(got), recordtest.Join(want[c.from:c.to])) {
			t.Errorf("after %d, limit %d: %s", c.after, c.limit, recordtest.Join(got))
		}
	}
}

func testConcurrentLines(t *testing.T, s store.Store) {
	create(t, s, "shop", "a")
	create(t, s, "blog", "b")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 10 {
				run := []string{"a", "b"}[n%2]
				if err := s.Append(ctx(t), run, []record.Line{Line(fmt.Sprintf("%d/%d", n, i)), Line(fmt.Sprintf("%d/%d'", n, i))}); err != nil {
					t.Error(err)
				}
				if _, err := s.Lines(ctx(t), run, 0, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, run := range []string{"a", "b"} {
		lines, err := s.Lines(ctx(t), run, 0, 0)
		must(t, err)
		if len(lines) != 80 {
			t.Errorf("%d lines in %s, want 80", len(lines), run)
		}
		unique(t, lines)
	}
}

func unique(t testing.TB, lines []record.Line) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range lines {
		if seen[string(l)] {
			t.Errorf("%s is there twice", l)
		}
		seen[string(l)] = true
	}
}
