package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"pgregory.net/rapid"
)

// The canary never gets more than its share plus the overdraft, however the
// requests are spread over users.
func TestStickyShareStaysCapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.IntRange(1, 99).Draw(t, "weight")
		users := rapid.IntRange(1, 300).Draw(t, "users")
		skew := rapid.Float64Range(0, 4).Draw(t, "skew")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		s := newStickiness(Sticky{Cookie: "u"})
		s.setWeight(weight)
		canary := 0
		for n := 1; n <= 3000; n++ {
			u := int(float64(users) * pow(rng.Float64(), 1+skew))
			if s.arm(fmt.Sprint("user-", u), weight, 0) == Canary {
				canary++
			}
			if limit := (n*weight+99)/100 + overdraft/oneToken; canary > limit {
				t.Fatalf("%d of %d requests went to the canary at %d %%: more than %d", canary, n, weight, limit)
			}
		}
	})
}

func pow(x, y float64) float64 {
	r := x
	for ; y > 1; y-- {
		r *= x
	}
	return r
}

// One user who is half of the traffic cannot be kept on a canary of 5 %.
func TestAHeavyUserDoesNotBreakTheCap(t *testing.T) {
	const weight = 5
	for heavy := range 40 {
		s := newStickiness(Sticky{Cookie: "u"})
		s.setWeight(weight)
		canary := 0
		for n := range 4000 {
			key := fmt.Sprint("heavy-", heavy)
			if n%2 == 0 {
				key = fmt.Sprint("light-", n%800)
			}
			if s.arm(key, weight, 0) == Canary {
				canary++
			}
		}
		if share := float64(canary) / 4000; share > weight/100.0+0.003 {
			t.Fatalf("heavy user %d: the canary got %.4f of the requests", heavy, share)
		}
	}
}

// With many light users, hardly anybody ever changes the arm at one weight, and
// the canary gets most of its share.
func TestStickyUsersStayOnTheirArm(t *testing.T) {
	const users, requests = 2000, 200_000
	for _, weight := range []int{5, 10, 25, 50} {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newStickiness(Sticky{Cookie: "u"})
		s.setWeight(weight)
		back := 0
		last := make(map[int]Arm)
		canary := 0
		for range requests {
			u := rng.IntN(users)
			arm := s.arm(fmt.Sprint("user-", u), weight, 0)
			if arm == Canary {
				canary++
			}
			if last[u] == Canary && arm == Stable {
				back++
			}
			last[u] = arm
		}
		share := float64(canary) / requests * 100
		if share > float64(weight)+0.01 || share < 0.7*float64(weight) {
			t.Errorf("weight %d (seed %d): share is %.2f %%", weight, seed, share)
		}
		t.Logf("weight %d: share %.2f %%, moved back %d times", weight, share, back)
		if back > canary/200 {
			t.Errorf("weight %d (seed %d): users moved back to stable %d times", weight, seed, back)
		}
	}
}

func TestRaisingTheWeightMovesUsersOneWayOnly(t *testing.T) {
	const users = 5000
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	s := newStickiness(Sticky{Cookie: "u"})
	before := make(map[int]bool)
	for _, weight := range []int{5, 10, 25, 50, 100} {
		s.setWeight(weight)
		now := make(map[int]bool)
		for _, u := range rng.Perm(users) {
			now[u] = s.arm(fmt.Sprint("user-", u), weight, 0) == Canary
		}
		for u := range before {
			if before[u] && !now[u] {
				t.Fatalf("seed %d: user %d was on the canary and went back to stable at %d %%", seed, u, weight)
			}
		}
		before = now
	}
}

func TestStickyUsersAreTheSameAfterARestart(t *testing.T) {
	arms := func() (on []int) {
		s := newStickiness(Sticky{Cookie: "u"})
		s.setWeight(25)
		for u := range 1000 {
			if s.arm(fmt.Sprint("user-", u), 25, 0) == Canary {
				on = append(on, u)
			}
		}
		return on
	}
	if a, b := fmt.Sprint(arms()), fmt.Sprint(arms()); a != b {
		t.Fatalf("two proxies disagree:\n%s\n%s", a, b)
	}
}

func TestStickyKeyIsFoundInHeaderThenCookie(t *testing.T) {
	s := newStickiness(Sticky{Header: "X-User", Cookie: "sid"})
	tests := []struct {
		name   string
		header http.Header
		want   string
	}{
		{"neither", http.Header{}, ""},
		{"cookie", http.Header{"Cookie": {"a=1; sid=42; b=2"}}, "42"},
		{"cookie whose name ends alike", http.Header{"Cookie": {"xsid=1"}}, ""},
		{"header first", http.Header{"X-User": {"7"}, "Cookie": {"sid=42"}}, "7"},
		{"empty header", http.Header{"X-User": {""}, "Cookie": {"sid=42"}}, "42"},
		{"second cookie line", http.Header{"Cookie": {"a=1", "sid=3"}}, "3"},
	}
	for _, test := range tests {
		if got := s.key(test.header); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
