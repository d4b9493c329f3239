package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/demo/load"
	"serin.dev/serin/internal/engine"
)

// teller writes what the demo says: on a terminal above the view, otherwise
// line by line.
type teller struct {
	out    io.Writer
	screen *view.Screen
	color  bool
	// chapters is how many releases there are to tell of.
	chapters int
	// shown is the last view, for telling what has changed since.
	shown view.Model
	err   error
}

func newTeller(o Options, chapters int) *teller {
	t := &teller{out: o.Out, color: o.Color, chapters: chapters}
	if o.Terminal {
		t.screen = view.NewScreen(o.Out, o.Size, o.Color)
	}
	return t
}

// say writes a line.
func (t *teller) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	var err error
	if t.screen != nil {
		err = t.screen.Say(line)
	} else {
		_, err = fmt.Fprintln(t.out, line)
	}
	if t.err == nil {
		t.err = err
	}
}

// tell writes a text of any length, indented, in lines that are easily read.
func (t *teller) tell(indent, format string, args ...any) {
	for _, line := range view.Wrap(fmt.Sprintf(format, args...), readable-len(indent)) {
		t.say("%s", indent+line)
	}
}

// readable is how long a line of text is at most.
const readable = 78

// show shows a view of the run.
func (t *teller) show(m view.Model) error {
	if t.screen != nil {
		return t.screen.Show(m)
	}
	for _, line := range view.Lines(t.shown, m) {
		if _, err := fmt.Fprintln(t.out, line); err != nil {
			return err
		}
	}
	t.shown = m
	return nil
}

// close leaves the last view where it is; what is said from then on comes below.
func (t *teller) close() error {
	if t.screen == nil {
		return t.err
	}
	s := t.screen
	t.screen = nil
	if err := s.Close(); err != nil {
		return err
	}
	return t.err
}

func (t *teller) paint(code, text string) string {
	if !t.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *teller) opening(url string, seed uint64) {
	t.tell("", "A sample shop, version %s, is open at %s behind Serin's proxy. Its %s users send %d requests a second, and its payment provider fails now and then (seed %d).",
		first, url, thousands(users), rate, seed)
	t.tell("", "What follows are releases of new versions. Serin is not told which of them is good: it compares each new version with the one that serves, by what their users get.")
}

func (t *teller) chapter(i int, c chapter) {
	t.say("")
	t.say("%s %s, %s", t.paint("1", fmt.Sprintf("Release %d of %d:", i+1, t.chapters)), c.version, c.says)
}

func (t *teller) ended(e ending, now load.Counts) {
	answered, failed := got(e.chapter.version, e.before, now)
	after := seconds(e.last.EndedAt.Sub(e.last.StartedAt))
	switch e.last.Status {
	case engine.Promoted:
		t.say("%s %s was promoted after %s.", t.paint("32", "✓"), e.chapter.version, after)
	case engine.RolledBack:
		t.say("%s %s was rolled back after %s, %s requests and %s failures:",
			t.paint("31", "✗"), e.chapter.version, after, thousands(answered), thousands(failed))
		t.tell("  ", "%s", e.reason())
	default:
		t.say("? %s is %s after %s.", e.chapter.version, words[e.last.Status], after)
	}
}

// got is what a version answered between two counts.
func got(version string, before, now load.Counts) (answered, failed int) {
	b, n := before.Versions[version], now.Versions[version]
	return n.Requests - b.Requests, n.Failed - b.Failed
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// closing says what happened, whatever it was, and what to try next.
func (t *teller) closing(told []ending, counts load.Counts, took time.Duration, dir string) {
	t.say("")
	t.say("%s", t.paint("1", "What happened"))
	for _, e := range told {
		answered, failed := got(e.chapter.version, e.before, counts)
		if e.last.Status != engine.RolledBack {
			t.say("  %s  %s", e.chapter.version, words[e.last.Status])
			continue
		}
		t.say("  %s  %s: it answered %s of %s requests, %s of them failed:",
			e.chapter.version, words[e.last.Status], thousands(answered), thousands(counts.Requests), thousands(failed))
		t.tell("      ", "%s", e.reason())
	}
	t.broken(told, counts)
	t.say("  All of it took %s.", seconds(took))
	for _, e := range told {
		if s := e.surprise(); s != "" {
			t.say("  %s %s.", t.paint("1;31", "Not as expected:"), s)
		}
	}
	t.say("")
	t.say("%s", t.paint("1", "The reports"))
	for _, e := range told {
		t.say("  %s  %s", e.chapter.version, e.last.Report)
	}
	t.say("  The rollout's file, the records and the logs are in %s", dir)
	t.say("")
	t.next()
}

// broken says how many requests the shop did not answer, and when.
func (t *teller) broken(told []ending, counts load.Counts) {
	at := atSwitches(told, counts)
	elsewhere := counts.Broken - at
	switch {
	case counts.Broken == 0:
		t.tell("  ", "No user's request failed at a switch: the shop itself answered all %s.", thousands(counts.Requests))
		return
	case at == 0:
		t.tell("  ", "No user's request failed at a switch. %s of %s got no answer of the shop at other times; on a machine that is very busy, connections take too long:",
			thousands(elsewhere), thousands(counts.Requests))
	default:
		t.tell("  ", "%s of %s requests got no answer of the shop at a switch, and %s at other times:",
			thousands(at), thousands(counts.Requests), thousands(elsewhere))
	}
	for _, f := range counts.Failures[:min(len(counts.Failures), mostFailures)] {
		t.say("    %s", f)
	}
}

// busy says so when a machine had much else to do, which is the likeliest cause
// of a surprise: ticks here are a quarter of a second, not ten seconds.
func (t *teller) busy(load float64, processors int) {
	if load < 1.5*float64(processors) {
		return
	}
	t.say("")
	t.tell("", "The machine was busy meanwhile: %.0f programs for %d processors. What a second's stall does to response times hides a slow version; try again when it is quieter.",
		load, processors)
}

// mostFailures is how many broken requests are told one by one.
const mostFailures = 5

// staying says what can be done while the shop stays open.
func (t *teller) staying(h *home, program string) {
	t.say("")
	t.tell("", "The shop and its users stay at %s until Ctrl-C. From another terminal:", h.url)
	t.say("  serin --state %s get", h.state)
	t.say("  serin --state %s history %s", h.state, name)
	t.say("Release a version of your own making; demo-shop -help lists its faults:")
	t.say("  serin --state %s release %s --version v5 -- \\", h.state, name)
	t.say("    %s demo-shop -listen '$(ADDR)' -version v5 -panics 0.02 -owner %d", program, os.Getpid())
}

// Own is the shortest rollout of a user's own: two programs and where they
// listen.
const Own = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: app}
spec:
  workload:
    process:
      stable: {version: v1, command: [./app-v1, -listen, $(ADDR)]}
      canary: {version: v2, command: [./app-v2, -listen, $(ADDR)]}
  traffic:
    proxy: {listen: 127.0.0.1:8080}
`

func (t *teller) next() {
	t.say("%s", t.paint("1", "Next, with two programs of your own"))
	t.say("Write app.yaml; $(ADDR) becomes the address that a program is to listen on:")
	t.say("")
	for line := range strings.Lines(Own) {
		t.say("  %s", strings.TrimRight(line, "\n"))
	}
	t.say("")
	t.say("  serin lint -f app.yaml        # is it right, and how long will it take")
	t.say("  serin run -f app.yaml --keep  # release v2 beside v1, and go on serving")
	t.say("  serin describe app            # from another terminal: how it stands and why")
	t.say("  serin rollback app            # go back at once")
}

// thousands writes a count as people read it.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// verdict is the demo's own: nil when everything ended as expected.
func verdict(told []ending, counts load.Counts) error {
	var surprises []string
	for _, e := range told {
		if s := e.surprise(); s != "" {
			surprises = append(surprises, s)
		}
	}
	if n := atSwitches(told, counts); n > 0 {
		surprises = append(surprises, fmt.Sprintf("%d requests got no answer of the shop at a switch", n))
	}
	if len(surprises) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnexpected, strings.Join(surprises, "; "))
}
