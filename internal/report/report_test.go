package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/report"
	"serin.dev/serin/internal/rollout"
)

var update = flag.Bool("update", false, "write testdata anew from the reports as they are")

func at(d time.Duration) time.Time { return recordtest.Start().Add(d) }

// evidence is what a rollback leaves behind.
var evidence = report.Evidence{
	Changes: []report.Change{
		{What: "version", Stable: "v1", Canary: "v2"},
		{What: "environment", Stable: "", Canary: "FEATURE_CART"},
	},
	LogExcerpts: []report.Excerpt{
		{Instance: "shop-v1-0.log", Arm: "stable", Text: "panic: known already\ngoroutine 1 [running]:\n"},
		{Instance: "shop-v2-0.log", Arm: "canary", Text: "open\npanic: known already\ngoroutine 1 [running]:\npanic: nil cart\n\ngoroutine 7 [running]:\nmain.add(0x0)\n\t/src/cart.go:12 +0x1d\nlevel=INFO msg=bye\n"},
	},
	Events: []string{"v2: ended by itself 2 times"},
	Notes:  []string{"the log of shop-v2-1 could not be read"},
}

func worlds() map[string]recordtest.World {
	tested := recordtest.ShortPlan()
	tested.Tests = []engine.Test{{Name: "checkout", Failures: 3, OnFailure: rollout.FailRollback}}
	return map[string]recordtest.World{
		"promoted":   {Seed: 4, Rate: 200},
		"errors":     {Seed: 4, Rate: 300, WorseErrors: 3.5, From: 400 * time.Second},
		"crash":      {Seed: 4, CrashAt: 90 * time.Second},
		"blind":      {Seed: 4, Blind: [2]time.Duration{time.Minute, time.Hour}},
		"testfailed": {Seed: 4, Plan: tested, TestFails: 2 * time.Minute},
		"person": {Seed: 4, Intents: []rollout.Intent{
			{ID: "1", Kind: rollout.Pause, At: at(time.Minute), Actor: "li", Reason: "lunch"},
			{ID: "2", Kind: rollout.Resume, At: at(2 * time.Minute), Actor: "li"},
			{ID: "3", Kind: rollout.Rollback, At: at(4 * time.Minute), Actor: "li", Reason: "wrong build"},
		}},
		"givenup": {Seed: 4, Intents: []rollout.Intent{
			{ID: "1", Kind: rollout.Rollback, At: at(4 * time.Minute), Actor: record.Serin, Reason: "nobody decided within 5m0s"},
		}},
		"unfinished": {Seed: 4, Looks: 12},
	}
}

func read(t testing.TB, w recordtest.World, ev report.Evidence) report.Report {
	t.Helper()
	lines, _, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Read(bytes.NewReader(recordtest.Join(lines)), ev)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func render(t testing.TB, r report.Report) (markdown, html string) {
	t.Helper()
	var m, h bytes.Buffer
	if err := errors.Join(report.Markdown(&m, r), report.HTML(&h, r)); err != nil {
		t.Fatal(err)
	}
	return m.String(), h.String()
}

// The judging's own wording and figures are its package's business; the report
// is compared on records kept as files.
func TestReportsAreAsReviewed(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			ev := report.Evidence{}
			if name == "errors" {
				ev = evidence
			}
			file := filepath.Join("testdata", name+".jsonl")
			if *update {
				lines, _, err := w.Run()
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, recordtest.Join(lines), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatalf("%v; make it with go test ./internal/report -update", err)
			}
			defer f.Close()
			r, err := report.Read(f, ev)
			if err != nil {
				t.Fatal(err)
			}
			md, html := render(t, r)
			for ext, got := range map[string]string{".md": md, ".html": html} {
				golden := filepath.Join("testdata", name+ext)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is not as reviewed; look at the difference and write it with -update:\n%s", golden, difference(string(want), got))
				}
			}
		})
	}
}

// difference shows the first line that differs.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "(end)", "(end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return "want " + a + "\ngot  " + b
		}
	}
	return ""
}

func TestAReportSaysWhatPeopleNeed(t *testing.T) {
	for name, c := range map[string]struct {
		outcome report.Outcome
		says    []string
	}{
		"promoted":   {report.Promoted, []string{"was promoted after", "Every", "serin replay", "phase 3 (100 %)"}},
		"errors":     {report.RolledBack, []string{"rolled back in phase 2 at 25 %", "Suspected cause", "more requests with errors", "first beyond the margin", "Remediation checklist", "Root cause", "FEATURE", "nil cart", "First sign to decision", "at 0 % from"}},
		"crash":      {report.RolledBack, []string{"crashed while it served", "exit status 3"}},
		"blind":      {report.RolledBack, []string{"stopped giving figures", "canary's figures were missing"}},
		"testfailed": {report.RolledBack, []string{"continuous test", "checkout", "status 500, expected 200"}},
		"person":     {report.RolledBack, []string{"A person decided it", "li asked for a rollback: wrong build", "li paused the run"}},
		"givenup":    {report.RolledBack, []string{"Serin gave the run up", "serin asked for a rollback: nobody decided"}},
		"unfinished": {report.Unfinished, []string{"is not over"}},
	} {
		t.Run(name, func(t *testing.T) {
			ev := report.Evidence{}
			if name == "errors" {
				ev = evidence
			}
			r := read(t, worlds()[name], ev)
			if name == "promoted" {
				c.says[1] = "What could not be seen"
			}
			if r.Outcome != c.outcome {
				t.Fatalf("outcome %q, want %q: %s", r.Outcome, c.outcome, r.Headline)
			}
			md, html := render(t, r)
			for _, want := range c.says {
				if !strings.Contains(strings.ReplaceAll(md, `\`, ""), want) {
					t.Errorf("the Markdown does not say %q", want)
				}
				if want != "serin replay" && !strings.Contains(strings.ReplaceAll(html, "&#39;", "'"), want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if (r.Cause != nil) != (c.outcome == report.RolledBack) || (len(r.Checklist) > 0) != (r.Cause != nil) {
				t.Error("a cause and a checklist belong to a rollback, and only there")
			}
			if s := report.Summary(r); strings.ContainsAny(s, "\n\r") || s == "" {
				t.Errorf("the summary is %q", s)
			}
		})
	}
}

// Every transition of the record is in the decision log, once.
func TestEveryTransitionIsListed(t *testing.T) {
	for name, w := range worlds() {
		lines, _, err := w.Run()
		if err != nil {
			t.Fatal(err)
		}
		want, position := 0, ""
		err = record.Read(bytes.NewReader(recordtest.Join(lines)), func(e record.Entry) error {
			if e.Decision != nil && e.Decision.Position != position {
				want, position = want+1, e.Decision.Position
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(read(t, w, report.Evidence{}).Moves); got != want {
			t.Errorf("%s: %d transitions are listed, the record has %d", name, got, want)
		}
	}
}

func TestFiguresAreTheRecords(t *testing.T) {
	r := read(t, worlds()["errors"], report.Evidence{})
	var requests, failed float64
	for _, p := range r.Phases {
		requests += p.Canary.Requests
		failed += p.Canary.Errors
	}
	if requests != r.Felt.CanaryRequests || failed != r.Felt.CanaryErrors || requests == 0 {
		t.Errorf("the phases count %v requests and %v failures, the whole run %v and %v", requests, failed, r.Felt.CanaryRequests, r.Felt.CanaryErrors)
	}
	if d := r.Felt.AtZero.Sub(r.Felt.Decided); d < 0 || d > time.Second {
		t.Errorf("weight 0 came %v after the decision", d)
	}
	if r.Felt.FirstSign.Before(at(400*time.Second)) || r.Felt.FirstSign.After(r.Felt.Decided) {
		t.Errorf("first sign at %v; the fault begins at %v and the decision is at %v", r.Felt.FirstSign, at(400*time.Second), r.Felt.Decided)
	}
	// A median of 50 ms with 2 % buckets and 10 % bounds.
	if p := r.Phases[0].Stable.P50; p < 0.045 || p > 0.056 {
		t.Errorf("stable's median is %v s, made as 0.05", p)
	}
}

// hostile is text that would do harm unescaped.
const hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'` |[a](javascript:alert(3))\n# x\x1b[31m\u2028</style></svg>```"

func TestHostileTextStaysText(t *testing.T) {
	w := worlds()["testfailed"]
	w.Rollout, w.StableVersion, w.CanaryVersion, w.Actor = hostile, hostile, hostile, hostile
	w.Plan.Tests[0].Name = hostile
	w.Plan.Analysis.Checks[0].Name = hostile
	w.Intents = []rollout.Intent{{ID: "1", Kind: rollout.Pause, At: at(time.Minute), Actor: hostile, Reason: hostile}, {ID: "2", Kind: rollout.Resume, At: at(90 * time.Second), Actor: hostile}}
	r := read(t, w, report.Evidence{
		Changes: []report.Change{{What: hostile, Stable: hostile, Canary: hostile}}, Events: []string{hostile}, Notes: []string{hostile},
		LogExcerpts: []report.Excerpt{{Instance: hostile, Arm: "canary", Text: "panic: " + hostile + "\n\tat x" + hostile}},
	})
	md, html := render(t, r)
	for _, bad := range []string{"<script>", "<img", "</style></svg>", "\x1b"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page contains %q unescaped", bad)
		}
	}
	inFence := false
	fence := ""
	for line := range strings.Lines(md) {
		if mark := strings.TrimRight(line, "\n"); strings.Trim(mark, "`") == "" && len(mark) >= 3 && (!inFence || mark == fence) {
			inFence, fence = !inFence, mark
			continue
		}
		if strings.Contains(line, "\x1b") {
			t.Errorf("the Markdown moves a terminal: %q", line)
		}
		if !inFence && (strings.Contains(line, "<") || strings.Contains(line, "[a](") || strings.HasPrefix(line, "# x")) {
			t.Errorf("the Markdown has it unescaped: %q", line)
		}
	}
	if inFence {
		t.Error("the log ends its code block too late or never")
	}
	if s := report.Summary(r); strings.ContainsAny(s, "\n\x1b\u2028") {
		t.Errorf("the summary is more than a line: %q", s)
	}
}

// The page needs nothing else and is well formed.
func TestThePageIsSelfContained(t *testing.T) {
	for name, w := range worlds() {
		_, html := render(t, read(t, w, evidence))
		for _, bad := range []string{"<script", " src=", " href=", "url(", "@import", "http:", "https:", "NaN", "Inf", "ZgotmplZ"} {
			if strings.Contains(html, bad) {
				t.Errorf("%s: the page contains %q", name, bad)
			}
		}
		for i, part := range strings.Split(html, "<svg")[1:] {
			svg, _, ok := strings.Cut(part, "</svg>")
			if !ok {
				t.Fatalf("%s: plot %d has no end", name, i)
			}
			d := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>"))
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: plot %d: %v", name, i, err)
				}
			}
		}
	}
}

func TestALongRunStaysBounded(t *testing.T) {
	var long bytes.Buffer
	w := recordtest.World{Seed: 9, Rate: 2}
	w.Plan = recordtest.ShortPlan()
	w.Plan.Phases = []rollout.Phase{{Weight: 50, Duration: rollout.Duration(20 * time.Hour)}}
	w.Looks = 1500
	lines, _, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	long.Write(recordtest.Join(lines))
	r, err := report.Read(&long, report.Evidence{})
	if err != nil {
		t.Fatal(err)
	}
	_, html := render(t, r)
	if len(html) > 1<<20 {
		t.Errorf("the page of %d decisions has %d KiB", r.Decisions, len(html)>>10)
	}
	if r.Decisions < 1400 {
		t.Fatalf("only %d decisions", r.Decisions)
	}
}

// A record cut anywhere is told about as far as it goes, or refused.
// A record of which the middle was dropped tells of the same moves, by the same
// people, and says that it is not whole.
func TestAGapInTheRecordIsToldOf(t *testing.T) {
	lines, _, err := worlds()["person"].Run()
	if err != nil {
		t.Fatal(err)
	}
	whole := read(t, worlds()["person"], evidence)
	cut := len(lines) * 9 / 10
	for e, err := record.Parse(lines[cut]); err != nil || e.Decision == nil; e, err = record.Parse(lines[cut]) {
		cut++
	}
	cut++
	before, err := record.Replay(bytes.NewReader(recordtest.Join(lines[:cut])))
	if err != nil {
		t.Fatal(err)
	}
	thin, err := record.Thin(lines[1:cut], before.State)
	if err != nil {
		t.Fatal(err)
	}
	// What people asked for is in the record by itself, as it arrived.
	intents := []record.Line{lines[0]}
	for _, i := range worlds()["person"].Intents {
		line, err := record.Encode(record.Intent{Intent: i})
		if err != nil {
			t.Fatal(err)
		}
		intents = append(intents, line)
	}
	thin = slices.Concat(intents, thin, lines[cut:])
	again, err := record.Replay(bytes.NewReader(recordtest.Join(thin)))
	if err != nil || len(again.Differences) > 0 || again.Missing != before.Decisions {
		t.Errorf("the replay says that %d decisions are missing of %d, and differs in %v: %v", again.Missing, before.Decisions, again.Differences, err)
	}
	r, err := report.Read(bytes.NewReader(recordtest.Join(thin)), evidence)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Moves) != len(whole.Moves) {
		t.Fatalf("%d moves are told of, want %d", len(r.Moves), len(whole.Moves))
	}
	for i, m := range r.Moves {
		if want := whole.Moves[i]; m.To != want.To || m.Who != want.Who || !m.At.Equal(want.At) {
			t.Errorf("move %d is to %q by %s at %s, want to %q by %s at %s", i, m.To, m.Who, m.At, want.To, want.Who, want.At)
		}
	}
	if md, _ := render(t, r); !strings.Contains(md, "are not in the record, as nothing could be saved for long") {
		t.Error("the report does not say that something is missing")
	}
}

func TestACutRecordIsToldAsFarAsItGoes(t *testing.T) {
	lines, _, err := worlds()["crash"].Run()
	if err != nil {
		t.Fatal(err)
	}
	data := recordtest.Join(lines)
	told := 0
	for n := 0; n < len(data); n += max(1, len(data)/50) {
		r, err := report.Read(bytes.NewReader(data[:n]), report.Evidence{})
		if err != nil {
			if n > len(lines[0]) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			continue
		}
		told++
		md, _ := render(t, r)
		if data[n-1] != '\n' && !strings.Contains(md, "The record breaks off") {
			t.Fatalf("%d bytes: the report does not say that the record breaks off", n)
		}
	}
	if told < 25 {
		t.Errorf("only %d of the cut records were told about", told)
	}
	if _, err := report.Read(strings.NewReader(""), report.Evidence{}); !errors.Is(err, record.ErrTruncated) {
		t.Errorf("an empty record: %v", err)
	}
}
