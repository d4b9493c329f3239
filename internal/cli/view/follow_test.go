package view

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
)

// broadcast is a feed of a player that goes on by a step at each call.
func broadcast(p *player, fail func() error) Feed {
	return func(ctx context.Context, after int) (News, error) {
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return News{}, ctx.Err()
		}
		if err := fail(); err != nil {
			return News{}, err
		}
		if !p.run.State.Ended() {
			p.step()
		}
		return News{Run: p.run, Lines: p.lines[after:]}, nil
	}
}

func never() error { return nil }

func TestFollowingShowsARunToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayer(t, nil)
		var lines []string
		shown := Model{}
		last, err := Follow(t.Context(), broadcast(p, never), 100*time.Millisecond, func(m Model) error {
			lines = append(lines, Lines(shown, m)...)
			shown = m
			return nil
		})
		if err != nil || last.Status != engine.Promoted {
			t.Fatalf("following ended with %q and %v", last.Status, err)
		}
		// Nothing that the record holds was missed, and nothing told twice.
		want := Lines(Model{}, p.model())
		for i := range want {
			// Times are those of the one who looks; the rest is the run's.
			_, text, _ := strings.Cut(want[i], "shop")
			if i >= len(lines) || !strings.HasSuffix(lines[i], text) {
				t.Fatalf("line %d should end %q; all that was told:\n%s", i, text, strings.Join(lines, "\n"))
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%d lines were told, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
		}
	})
}

// A short silence of the daemon (it is being restarted) is waited for; a long
// one is told.
func TestASilentFeed(t *testing.T) {
	silence := errors.New("nobody answers")
	for name, c := range map[string]struct {
		lasts time.Duration
		want  error
	}{"short": {patience / 2, nil}, "long": {time.Hour, silence}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				feed := broadcast(newPlayer(t, nil), func() error {
					if since := time.Since(began); since > 2*time.Second && since < 2*time.Second+c.lasts {
						return silence
					}
					return nil
				})
				if _, err := Follow(t.Context(), feed, time.Second, func(Model) error { return nil }); !errors.Is(err, c.want) {
					t.Errorf("following ended with %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		last, err := Follow(ctx, broadcast(newPlayer(t, nil), never), time.Second, func(Model) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || last.Ended() {
			t.Errorf("following ended with %v at %q", err, last.Status)
		}
	})
}

func TestAViewThatCannotBeShownEndsTheFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := Follow(t.Context(), broadcast(newPlayer(t, nil), never), time.Second, func(Model) error { return errGone })
		if !errors.Is(err, errGone) {
			t.Errorf("following ended with %v, want %v", err, errGone)
		}
	})
}
