package demo

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/demo/shop"
)

// The test program is the shop's program too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "demo-shop" {
		os.Exit(shop.Main(os.Args[2:], os.Stderr))
	}
	os.Exit(m.Run())
}

// output collects what the demo says while it still speaks.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func options(t *testing.T, out *output) Options {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Out: out, Program: program, Dir: t.TempDir(),
		Serve: func(ctx context.Context, state, dir string, ready func(map[string]string)) error {
			return app.Serve(ctx, app.Options{State: state}, dir, app.ServeOptions{Version: "test", Ready: ready})
		},
	}
}

// closed waits until nobody listens any more at the addresses in a text.
func closed(t *testing.T, dir, text string) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(text, -1)
	logs, err := filepath.Glob(filepath.Join(dir, "state", "archive", "shop", "*", "logs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range logs {
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(string(log), -1)...)
	}
	if len(addresses) == 0 {
		t.Error("no address was told, so none can be seen to be closed")
	}
	for _, address := range addresses {
		deadline := time.Now().Add(time.Minute)
		for {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				break
			}
			c.Close()
			if time.Now().After(deadline) {
				t.Errorf("somebody still listens at %s", address)
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// A bad version is rolled back by the daemon as it is, on real processes and
// real requests, and nobody notices the switches.
func TestABadVersionIsRolledBack(t *testing.T) {
	var out output
	o := options(t, &out)
	if err := run(t.Context(), o, story[1:2]); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	for _, want := range []string{
		"v3 was rolled back after", "No user's request failed at a switch", "against chance",
		"v3 rolled back: it answered ", "kind: CanaryRollout", "serin run -f app.yaml",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the demo did not say %q:\n%s", want, text)
		}
	}
	// Without a terminal, every line stays as it is.
	if strings.Contains(text, "\x1b") {
		t.Errorf("an escape sequence was written where there is no terminal:\n%q", text)
	}
	report := regexp.MustCompile(`(?m)^  v3  (/.*)$`).FindStringSubmatch(text)
	if report == nil {
		t.Fatalf("the demo did not say where the report is:\n%s", text)
	}
	if info, err := os.Stat(report[1]); err != nil || info.Mode().IsDir() {
		t.Errorf("the report is not at %s: %v", report[1], err)
	}
	record, err := os.ReadFile(filepath.Join(filepath.Dir(report[1]), "record.jsonl"))
	if err != nil || !bytes.Contains(record, []byte(`"decision":"rollback"`)) {
		t.Errorf("the record beside the report does not hold the rollback: %v", err)
	}
	told, _, _ := strings.Cut(text, "Next, with") // what follows is an example
	closed(t, o.Dir, told)

	// The folder is not taken for a new one.
	if err := run(t.Context(), o, story[1:2]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second demo in the same folder ended with %v", err)
	}
}

func TestAnInterruptedDemoLeavesNothingRunning(t *testing.T) {
	var out output
	o := options(t, &out)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, o, story) }()
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(out.String(), "phase 1 begins") {
		if time.Now().After(deadline) {
			t.Fatalf("the first release did not begin:\n%s", out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("the interrupted demo ended with %v", err)
		}
		closed(t, o.Dir, out.String())
	case <-time.After(time.Minute):
		t.Fatal("the demo went on after it was interrupted")
	}
}

func TestAShopThatCannotBeStartedIsTold(t *testing.T) {
	var out output
	o := options(t, &out)
	o.Program = filepath.Join(o.Dir, "nothing-here")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := run(ctx, o, story)
	if err == nil || !strings.Contains(err.Error(), "the shop does not answer") {
		t.Errorf("without a shop the demo ended with %v", err)
	}
}
