package crd_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errBroken = errors.New("connection reset by peer")

// fault breaks the connection at the n-th request.
type fault struct {
	n int
	// after: the request is carried out and only its answer is lost.
	after bool
	// dead: nothing works from there on, as for a program that was killed.
	dead bool

	seen int
}

// on carries out a request, or not.
func (f *fault) on(request func() error) error {
	f.seen++
	hit := f.seen == f.n
	if f.seen > f.n && f.dead || hit && !f.after {
		return errBroken
	}
	err := request()
	if hit {
		return errBroken
	}
	return err
}

func (f *fault) client(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return f.on(func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			return f.on(func() error { return c.List(ctx, o, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return f.on(func() error { return c.Create(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return f.on(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return f.on(func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
	})
}

// bulky is a line that does not compress, so that few of them fill a status.
func bulky(what string) record.Line {
	var b strings.Builder
	for i := range 220 {
		sum := sha256.Sum256([]byte(fmt.Sprint(what, i)))
		b.WriteString(base64.RawStdEncoding.EncodeToString(sum[:]))
	}
	line, err := record.Encode(record.Effect{Effect: what, At: recordtest.Start(), Actor: record.Serin, Detail: b.String()})
	if err != nil {
		panic(err) // a constant shape
	}
	return line
}

// A run of a few looks, with lines, an intent and a message beside them, is
// carried to its end while the connection breaks before or after every single
// request, once and for good; a program that died is started again.
func TestNoLineIsLostOrDoubled(t *testing.T) {
	step := 1
	if testing.Short() { // as under the race detector, to which one request is like the next
		step = 11
	}
	crashEverywhere(t, func(*testing.T) (client.WithWatch, string) { return objects(), namespace }, step)
}

func crashEverywhere(t *testing.T, server func(*testing.T) (client.WithWatch, string), step int) {
	run := storetest.NewRun(t, "shop", "shop-1")
	for _, dead := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("dead %v, after %v", dead, after), func(t *testing.T) {
				t.Parallel()
				n := 1
				for ; ; n += step {
					c, namespace := server(t)
					f := &fault{n: n, after: after, dead: dead}
					carry(t, c, namespace, run, f)
					if t.Failed() {
						t.Fatalf("with the connection broken at request %d", n)
					}
					if f.seen < n {
						break // it went through without the fault
					}
				}
				t.Logf("%d requests", n-1)
			})
		}
	}
}

const looks = 10

// carry takes a run through its looks as the runner does, and says what is
// wrong with the record at the end.
func carry(t *testing.T, c client.WithWatch, namespace string, run store.Run, f *fault) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := crd.New(crd.Options{Client: f.client(c), Namespace: namespace})
	// again makes a call until it is known to have worked.
	again := func(call func() error) {
		for try := 0; ; try++ {
			err := call()
			if err == nil {
				return
			}
			if try == 10 {
				t.Fatal(err)
			}
			if f.dead && f.seen >= f.n { // started again
				s = crd.New(crd.Options{Client: c, Namespace: namespace})
			}
		}
	}
	again(func() error {
		err := s.Create(ctx, run, []record.Line{bulky("header")}, nil)
		if errors.Is(err, store.ErrActive) {
			return nil // by the try before
		}
		return err
	})
	first := run.State.Phase
	acknowledged := map[string]bool{}
	var held store.Run
	loaded := false
	for k := range looks {
		// What could not be saved is saved again with what comes next, as the
		// runner does it; after a conflict what is stored counts.
		again(func() error {
			if !loaded {
				r, err := s.Load(ctx, "shop-1")
				if err != nil {
					return err
				}
				held, loaded = r, true
			}
			if held.State.Phase == first+k+1 {
				return nil
			}
			next := held
			next.State.Phase = first + k + 1
			change := store.Change{Lines: []record.Line{bulky(fmt.Sprint("look ", k))}}
			if k == 4 {
				change.Messages = []store.Outgoing{{ID: "m", To: "team", Message: rollout.Message{ID: "m", Run: "shop-1"}}}
			}
			if k == 8 {
				change.Answered = []engine.Answer{{ID: "i", Accepted: true}}
			}
			version, err := s.Save(ctx, next, change)
			if err == nil {
				held, held.Version = next, version
			}
			loaded = err == nil
			return err
		})
		if k%3 == 0 {
			// What is not acknowledged may be lost, as its writer knows.
			line := fmt.Sprint("effect ", k)
			if s.Append(ctx, "shop-1", []record.Line{bulky(line)}) == nil {
				acknowledged[line] = true
			} else if f.dead {
				s = crd.New(crd.Options{Client: c, Namespace: namespace})
			}
		}
		if k == 6 {
			again(func() error {
				return s.AddIntent(ctx, "shop-1", rollout.Intent{ID: "i", Kind: rollout.Pause, Actor: "li"})
			})
		}
	}
	check(t, crd.New(crd.Options{Client: c, Namespace: namespace}), acknowledged)
}

func check(t *testing.T, s *crd.Store, acknowledged map[string]bool) {
	t.Helper()
	lines, err := s.Lines(t.Context(), "shop-1", 0, 0)
	must(t, err)
	count := map[string]int{}
	var order []string
	intents := 0
	for _, line := range lines {
		if strings.Contains(string(line), `"intent"`) {
			intents++
			continue
		}
		for _, what := range []string{"header", "look ", "effect "} {
			at := strings.Index(string(line), what)
			if at < 0 {
				continue
			}
			name, _, _ := strings.Cut(string(line)[at:], `"`)
			count[name]++
			if what == "look " {
				order = append(order, name)
			}
			break
		}
	}
	var want []string
	for k := range looks {
		want = append(want, fmt.Sprint("look ", k))
	}
	if count["header"] != 1 || intents != 1 || !slices.Equal(order, want) {
		t.Errorf("%d headers, %d intents, looks %v", count["header"], intents, order)
	}
	for k := range looks {
		effect := fmt.Sprint("effect ", k)
		if count[effect] > 1 || acknowledged[effect] && count[effect] == 0 {
			t.Errorf("%q is there %d times", effect, count[effect])
		}
	}
	due, err := s.Due(t.Context(), time.Now(), 0)
	must(t, err)
	if len(due) != 1 {
		t.Errorf("%d messages", len(due))
	}
	if a, err := s.Answer(t.Context(), "shop-1", "i"); err != nil || !a.Accepted {
		t.Errorf("the answer: %+v, %v", a, err)
	}
}
