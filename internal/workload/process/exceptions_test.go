package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

// say writes to an instance's log as the instance would.
func say(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "state", "logs", name+".log"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	must(t, f.Close())
}

func trace(class string) string {
	return class + ": 4711\n    at Cart.add (/app/cart.js:12:5)\n    at node:internal/main:1:2\n"
}

// thrown is what the logs told since the last call, as "canary A@b 2".
func thrown(t *testing.T, w *process.Workload) string {
	t.Helper()
	got, err := w.Exceptions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		if got[arm] == nil {
			out = append(out, fmt.Sprintf("%s unread", arm))
		}
		for _, x := range got[arm] {
			out = append(out, fmt.Sprintf("%s %s %g", arm, x.Class, x.Count))
		}
	}
	return strings.Join(out, ", ")
}

func TestExceptionsInLogsAreToldOnce(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	say(t, dir, "shop-v1-0", trace("OldError"))
	say(t, dir, "shop-v2-0", trace("NewError"))
	if got, want := thrown(t, w), "stable OldError@Cart.add 0, canary NewError@Cart.add 1"; got != want {
		t.Errorf("at first: %s, want %s", got, want)
	}
	if got := thrown(t, w); got != "" {
		t.Errorf("nothing was written: %s", got)
	}
	say(t, dir, "shop-v1-0", trace("OldError")+trace("OldError"))
	say(t, dir, "shop-v2-0", "TypeError: cut\n    at Cart.get (/app/ca")
	if got, want := thrown(t, w), "stable OldError@Cart.add 2"; got != want {
		t.Errorf("then: %s, want %s", got, want)
	}
	say(t, dir, "shop-v2-0", "rt.js:1:2)\n")
	if got, want := thrown(t, w), "canary TypeError@Cart.get 1"; got != want {
		t.Errorf("in two pieces: %s, want %s", got, want)
	}
	must(t, w.Close())

	// Another Serin goes on where this one was.
	say(t, dir, "shop-v2-0", trace("MeanwhileError"))
	w = open(t, cfg, dir)
	if got, want := thrown(t, w), "canary MeanwhileError@Cart.add 1"; got != want {
		t.Errorf("after a restart: %s, want %s", got, want)
	}

	// A new run takes what stable wrote so far as known, and the canary's log from
	// where it began.
	must(t, w.EndRun(false))
	say(t, dir, "shop-v2-0", trace("EarlierError"))
	must(t, w.BeginRun(workload.Version{Version: "v2", Command: sample()}))
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	if got, want := thrown(t, w), "stable OldError@Cart.add 0"; got != want {
		t.Errorf("in the next run: %s, want %s", got, want)
	}
}

func TestNoExceptionIsLostInARotation(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	cfg.Canary.Command = sample("-chatter", "100us")
	cfg.Logs = process.Logs{MaxSize: "64KiB", Keep: 2}
	w := open(t, cfg, dir)
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	total, written := 0, 0
	rotated := filepath.Join(dir, "state", "logs", "shop-v2-0.log.2")
	eventually(t, "the log was rotated twice", func() (bool, string) {
		say(t, dir, "shop-v2-0", trace("NewError"))
		written++
		got, err := w.Exceptions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range got[rollout.Canary] {
			total += int(x.Count)
		}
		_, err = os.Stat(rotated)
		return err == nil, fmt.Sprint(err)
	})
	// What is written in the moment of a rotation is lost with its line.
	if total < written-2 || total > written {
		t.Errorf("%d of %d exceptions were told", total, written)
	}
}
