package backtest_test

import (
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/backtest"
)

// TestReleasesAreFound reads versions drawn as lines: a minute a character, a
// dot where a version is not there, a digit for how much of it there is.
func TestReleasesAreFound(t *testing.T) {
	from := time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC)
	minute := func(at time.Time) int { return int(at.Sub(from) / time.Minute) }
	type release struct {
		stable, canary string
		from, to       int
		ended          backtest.Ending
	}
	for name, c := range map[string]struct {
		lines  map[string]string
		want   []release
		unseen []string
	}{
		"nothing new": {
			map[string]string{"v1": "99999999999999999999"}, nil, nil,
		},
		"one that is promoted": {
			map[string]string{
				"v1": "99999999987654321................",
				"v2": "......1112345678999999999999999",
			},
			[]release{{"v1", "v2", 3, 16, backtest.Promoted}}, nil,
		},
		"one that is taken back, and tried again": {
			map[string]string{
				"v1": "9999999999999999999999999999999999",
				"v2": "......1111..............1111111111",
			},
			[]release{{"v1", "v2", 3, 9, backtest.CanaryGone}, {"v1", "v2", 21, 33, backtest.Open}}, nil,
		},
		"one after the other": {
			map[string]string{
				"v1": "99999999999......................",
				"v2": ".....1119999999999999999999999999",
				"v3": "........................1111111..",
			},
			[]release{{"v1", "v2", 2, 10, backtest.Promoted}, {"v2", "v3", 21, 30, backtest.Open}}, nil,
		},
		"a third before the second is decided": {
			map[string]string{
				"v1": "99999999999999999999",
				"v2": ".....111111111......",
				"v3": "...........111111111",
			},
			[]release{{"v1", "v2", 2, 10, backtest.Superseded}, {"v1", "v3", 8, 19, backtest.Open}}, nil,
		},
		"an instance that is silent for a while is no release": {
			map[string]string{
				"v1": "9999999...99999999999",
				"v2": "....1111111..11111111",
			},
			[]release{{"v1", "v2", 1, 20, backtest.Open}}, nil,
		},
		"a hole in which the version changed": {
			map[string]string{
				"v1": "999999...........",
				"v2": ".............9999",
			},
			nil, []string{"no version is recorded", "v2 came in place of v1 while nothing was recorded"},
		},
		"a hole within a release": {
			map[string]string{
				"v1": "99999999..........9999",
				"v2": ".....111..........1111",
			},
			[]release{{"v1", "v2", 2, 21, backtest.Open}}, []string{"no version is recorded"},
		},
		"no overlap": {
			map[string]string{
				"v1": "99999.............",
				"v2": "......999999999999",
			},
			nil, []string{"v2 took the place of v1"},
		},
		"a release that was under way at the beginning": {
			map[string]string{
				"v1": "9999999999999",
				"v2": "1111111111111",
			},
			nil, []string{"v2 was there beside v1 from the beginning"},
		},
		"nothing recorded at all": {
			map[string]string{"v1": "...................."}, nil, []string{"no version is recorded"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var versions []backtest.Version
			last := 0
			for _, v := range []string{"v1", "v2", "v3"} {
				one := backtest.Version{Name: v}
				for i, amount := range c.lines[v] {
					if last = max(last, i); amount != '.' {
						one.Seen = append(one.Seen, backtest.Sighting{At: from.Add(time.Duration(i) * time.Minute), Amount: float64(amount - '0')})
					}
				}
				versions = append(versions, one)
			}
			found, unseen := backtest.Find(versions, backtest.Window{From: from, To: from.Add(time.Duration(last) * time.Minute)}, time.Minute)
			if len(found) != len(c.want) {
				t.Fatalf("found %+v, want %+v", found, c.want)
			}
			for i, f := range found {
				if got := (release{f.Stable, f.Canary, minute(f.From), minute(f.To), f.Ended}); got != c.want[i] {
					t.Errorf("release %d is %+v, want %+v", i+1, got, c.want[i])
				}
			}
			if len(unseen) != len(c.unseen) {
				t.Fatalf("unseen %+v, want %q", unseen, c.unseen)
			}
			for i, u := range unseen {
				if !strings.Contains(u.Message, c.unseen[i]) {
					t.Errorf("unseen: %q, want %q", u.Message, c.unseen[i])
				}
			}
		})
	}
}
