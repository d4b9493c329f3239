// Package archivetest is the conformance suite of the archive port: what every
// archive keeps, wherever it keeps it.
package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"serin.dev/serin/internal/archive"
)

// Run runs the suite; open returns an empty archive.
func Run(t *testing.T, open func(t *testing.T) archive.Archive) {
	ctx := context.Background()

	t.Run("what is put is read back, and its place is told", func(t *testing.T) {
		a := open(t)
		for name, content := range map[string]string{"record.jsonl": "{}\n", "logs/canary-1/out.log": "hello", "empty": "", "report 1.html": "<p>"} {
			location, err := a.Put(ctx, "shop", "run-1", name, strings.NewReader(content))
			if err != nil || location == "" {
				t.Fatalf("put %s: %q, %v", name, location, err)
			}
			if got := read(t, a, "shop", "run-1", name); got != content {
				t.Errorf("%s: got %q", name, got)
			}
		}
	})
	t.Run("large random contents come back byte for byte", func(t *testing.T) {
		seed := seed(t)
		random := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%032d", seed)))
		content := make([]byte, 3<<20+7)
		_, _ = random.Read(content)
		a := open(t)
		put(t, a, "shop", "run-1", "large", string(content))
		if read(t, a, "shop", "run-1", "large") != string(content) {
			t.Error("came back changed")
		}
	})
	t.Run("a later version replaces an earlier one whole", func(t *testing.T) {
		a := open(t)
		put(t, a, "shop", "run-1", "report.md", strings.Repeat("long ", 1000))
		put(t, a, "shop", "run-1", "report.md", "short")
		if got := read(t, a, "shop", "run-1", "report.md"); got != "short" {
			t.Errorf("got %d bytes", len(got))
		}
		mustList(t, a, "shop", "run-1", "report.md")
	})
	t.Run("a version that fails half-way leaves the earlier one and nothing else", func(t *testing.T) {
		a := open(t)
		put(t, a, "shop", "run-1", "report.md", "earlier")
		broken := errors.New("the log broke off")
		half := io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), iotest.ErrReader(broken))
		if _, err := a.Put(ctx, "shop", "run-1", "report.md", half); !errors.Is(err, broken) {
			t.Errorf("put: %v", err)
		}
		half = io.MultiReader(strings.NewReader("y"), iotest.ErrReader(broken))
		if _, err := a.Put(ctx, "shop", "run-1", "never.md", half); !errors.Is(err, broken) {
			t.Errorf("put: %v", err)
		}
		if got := read(t, a, "shop", "run-1", "report.md"); got != "earlier" {
			t.Errorf("got %q", got)
		}
		mustList(t, a, "shop", "run-1", "report.md")
	})
	t.Run("a version that is being written is not seen", func(t *testing.T) {
		a := open(t)
		put(t, a, "shop", "run-1", "record.jsonl", "earlier")
		pipe, feed := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := a.Put(ctx, "shop", "run-1", "record.jsonl", pipe)
			done <- err
		}()
		for range 3 {
			_, _ = feed.Write(bytes.Repeat([]byte("z"), 64<<10)) // returns when it was read
			if got := read(t, a, "shop", "run-1", "record.jsonl"); got != "earlier" {
				t.Fatalf("saw %d bytes of a half-written version", len(got))
			}
			mustList(t, a, "shop", "run-1", "record.jsonl")
		}
		feed.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := read(t, a, "shop", "run-1", "record.jsonl"); len(got) != 3*64<<10 {
			t.Errorf("got %d bytes at the end", len(got))
		}
	})
	t.Run("what is being read stays readable while it is replaced", func(t *testing.T) {
		a := open(t)
		put(t, a, "shop", "run-1", "log", strings.Repeat("a", 200<<10))
		r, err := a.Open(ctx, "shop", "run-1", "log")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		put(t, a, "shop", "run-1", "log", "b")
		if got, err := io.ReadAll(r); err != nil || strings.Trim(string(got), "a") != "" || len(got) != 200<<10 {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
	t.Run("several writers of one name leave one of their versions whole", func(t *testing.T) {
		a := open(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := a.Put(ctx, "shop", "run-1", "report.md", strings.NewReader(strings.Repeat(strconv.Itoa(i), 50<<10))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := read(t, a, "shop", "run-1", "report.md")
		if len(got) != 50<<10 || strings.Trim(got, got[:1]) != "" {
			t.Errorf("got a mixture of %d bytes", len(got))
		}
		mustList(t, a, "shop", "run-1", "report.md")
	})
	t.Run("a run's names are listed, sorted, and no other run's", func(t *testing.T) {
		a := open(t)
		mustList(t, a, "shop", "run-1")
		for _, name := range []string{"z.md", "logs/b/out.log", "logs/a/out.log", "a.md"} {
			put(t, a, "shop", "run-1", name, name)
		}
		put(t, a, "shop", "run-10", "other.md", "")
		put(t, a, "shop2", "run-1", "other.md", "")
		mustList(t, a, "shop", "run-1", "a.md", "logs/a/out.log", "logs/b/out.log", "z.md")
		mustList(t, a, "shop", "run-2")
	})
	t.Run("what was never put does not exist", func(t *testing.T) {
		a := open(t)
		put(t, a, "shop", "run-1", "logs/out.log", "x")
		for _, at := range [][3]string{{"shop", "run-1", "missing"}, {"shop", "run-2", "logs/out.log"}, {"other", "run-1", "logs/out.log"}, {"shop", "run-1", "logs"}, {"shop", "run-1", "logs/out.log/x"}} {
			r, err := a.Open(ctx, at[0], at[1], at[2])
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open %v: %v", at, err)
			}
			if err == nil {
				r.Close()
			}
		}
	})
	t.Run("names that lead elsewhere are refused", func(t *testing.T) {
		a := open(t)
		for _, at := range [][3]string{
			{"shop", "run-1", "../x"}, {"shop", "run-1", "a/../../x"}, {"shop", "run-1", "/etc/passwd"}, {"shop", "run-1", ""},
			{"shop", "run-1", "."}, {"shop", "run-1", ".."}, {"shop", "run-1", "a//b"}, {"shop", "run-1", "a/"}, {"shop", "run-1", `a\..\b`},
			{"shop", "run-1", "a\x00b"}, {"shop", "run-1", "a\nb"}, {"shop", "..", "x"}, {"..", "run-1", "x"}, {"", "run-1", "x"}, {"shop", "", "x"},
			{"a/b", "run-1", "x"}, {"shop", "a/b", "x"}, {".partial", "run-1", "x"},
		} {
			if location, err := a.Put(ctx, at[0], at[1], at[2], strings.NewReader("evil")); err == nil {
				t.Errorf("put %q took it to %s", at, location)
			}
			if r, err := a.Open(ctx, at[0], at[1], at[2]); err == nil {
				r.Close()
				t.Errorf("opened %q", at)
			}
		}
		mustList(t, a, "shop", "run-1")
	})
	t.Run("one whose time is up stores nothing", func(t *testing.T) {
		a := open(t)
		over, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := a.Put(over, "shop", "run-1", "late", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("put: %v", err)
		}
		mustList(t, a, "shop", "run-1")
	})
}

func put(t *testing.T, a archive.Archive, rollout, run, name, content string) {
	t.Helper()
	if _, err := a.Put(context.Background(), rollout, run, name, strings.NewReader(content)); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func read(t *testing.T, a archive.Archive, rollout, run, name string) string {
	t.Helper()
	r, err := a.Open(context.Background(), rollout, run, name)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return string(content)
}

func mustList(t *testing.T, a archive.Archive, rollout, run string, want ...string) {
	t.Helper()
	got, err := a.List(context.Background(), rollout, run)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
}

// seed is printed, and SERIN_TEST_SEED repeats a run.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SERIN_TEST_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SERIN_TEST_SEED: %v", err)
		}
		seed = parsed
	}
	t.Logf("SERIN_TEST_SEED=%d repeats this run", seed)
	return seed
}
