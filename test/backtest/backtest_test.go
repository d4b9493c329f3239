//go:build plane

// Package backtest runs `serin backtest` and `serin simulate --measured` against
// a real Prometheus that has recorded releases.
package backtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/cli"
	"serin.dev/serin/test/prometheus"
)

const seed = 11

// scrape is how often the recorded programs were scraped.
const scrape = 10 * time.Second

// recorded writes what a Prometheus has scraped of two programs.
type recorded struct {
	rng  *rand.Rand
	from time.Time
	// lines are the samples of each metric, in the order of time.
	lines map[string][]string
	names []string
}

func (r *recorded) add(metric, labels string, at time.Time, value float64) {
	if r.lines == nil {
		r.lines = map[string][]string{}
	}
	series := metric + "{" + labels + "}"
	if r.lines[series] == nil {
		r.names = append(r.names, series)
	}
	r.lines[series] = append(r.lines[series], fmt.Sprintf("%s %g %d", series, value, at.Unix()))
}

// program is one arm's counters.
type program struct {
	arm, version                string
	ok, failed                  float64
	below                       map[string]float64
	sum, count                  float64
	rps, errorRate, meanSeconds float64
}

var bounds = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5}

// scraped counts a tick of requests, then is scraped.
func (r *recorded) scraped(p *program, at time.Time) {
	if p.below == nil {
		p.below = map[string]float64{}
	}
	n := int(p.rps*scrape.Seconds() + r.rng.Float64())
	for range n {
		if r.rng.Float64() < p.errorRate {
			p.failed++
		} else {
			p.ok++
		}
		took := p.meanSeconds * r.rng.ExpFloat64()
		p.sum += took
		p.count++
		for _, b := range bounds {
			if took <= b {
				p.below[fmt.Sprint(b)]++
			}
		}
	}
	labels := fmt.Sprintf(`arm="%s",instance="%s:80",job="shop",version="%s"`, p.arm, p.version, p.version)
	r.add("http_requests_total", labels+`,code="200"`, at, p.ok)
	r.add("http_requests_total", labels+`,code="500"`, at, p.failed)
	for _, b := range bounds {
		r.add("http_request_duration_seconds_bucket", labels+fmt.Sprintf(`,le="%v"`, b), at, p.below[fmt.Sprint(b)])
	}
	r.add("http_request_duration_seconds_bucket", labels+`,le="+Inf"`, at, p.count)
	r.add("http_request_duration_seconds_sum", labels, at, p.sum)
	r.add("http_request_duration_seconds_count", labels, at, p.count)
	r.add("up", labels, at, 1)
}

// openMetrics writes all of it, a metric after the other.
func (r *recorded) openMetrics() []byte {
	var b bytes.Buffer
	for _, metric := range []string{"http_requests_total", "http_request_duration_seconds_bucket", "http_request_duration_seconds_sum", "http_request_duration_seconds_count", "up"} {
		for _, name := range r.names {
			if strings.HasPrefix(name, metric+"{") {
				b.WriteString(strings.Join(r.lines[name], "\n") + "\n")
			}
		}
	}
	b.WriteString("# EOF\n")
	return b.Bytes()
}

// release records forty minutes of stable alone, then a release at 10 % whose
// errors rise to five times stable's after ten minutes, and twenty minutes more.
// In the hole nobody was scraped.
func release(from time.Time, bad bool, holeFrom, holeTo time.Duration) *recorded {
	r := &recorded{rng: rand.New(rand.NewPCG(seed, 1)), from: from}
	stable := &program{arm: "stable", version: "1.4", rps: 40, errorRate: .02, meanSeconds: .05}
	canary := &program{arm: "canary", version: "1.5", errorRate: .02, meanSeconds: .05}
	for since := time.Duration(0); since < 70*time.Minute; since += scrape {
		at := from.Add(since)
		if since >= begins {
			stable.rps, canary.rps = 36, 4
		}
		if bad && since >= begins+10*time.Minute {
			canary.errorRate = .10
		}
		if since >= holeFrom && since < holeTo {
			continue
		}
		r.scraped(stable, at)
		if since >= begins-scrape {
			r.scraped(canary, at)
		}
	}
	return r
}

const begins = 40 * time.Minute

const file = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  plan:
    phases:
    - {weight: 10, duration: 30m}
    - {weight: 100, duration: 30m}
  analysis:
    metrics:
      prometheus:
        url: URL
        queries:
          requests: 'http_requests_total{arm="$(arm)"}'
          errors: 'http_requests_total{arm="$(arm)",code=~"5.."}'
          latency: {histogram: 'http_request_duration_seconds{arm="$(arm)"}'}
    checks:
    - {name: errors, type: errorRate, rollback: {ratio: MARGIN}}
`

func write(t *testing.T, name, url, margin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer("URL", url, "MARGIN", margin).Replace(file)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serin runs the program in this process.
func serin(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := cli.Program{
		StateDir: func() (string, error) { return t.TempDir(), nil },
		Recorded: cli.Recorder(app.Recorded),
	}
	code = p.Main(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

type answer struct {
	Unseen   []struct{ Message string }
	Releases []struct {
		Name    string
		Problem string
		Found   struct{ Ended string }
		From    time.Time
		Ticks   int
		Holes   []struct {
			From, To time.Time
			Arm      string
		}
		Plans []struct {
			File, Answer, Decision string
			Waiting                bool
			At                     time.Time
			SecondsAfterStart      float64
			Timeline               []struct{ Decision, Message string }
		}
	}
}

func backtest(t *testing.T, args ...string) answer {
	t.Helper()
	code, out, errs := serin(t, append([]string{"backtest", "-o", "json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var a answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return a
}

// past is a time whose samples are of the past when the test runs, whatever the
// day.
func past() time.Time { return time.Now().Add(-3 * time.Hour).Truncate(time.Minute) }

func at(t time.Time) string { return t.Format(time.RFC3339) }

func TestTheIncidentOfARecordedReleaseIsCaught(t *testing.T) {
	from := past()
	server := prometheus.StartRecorded(t, release(from, true, 0, 0).openMetrics())
	usual, bold := write(t, "usual.yaml", server.URL, "2"), write(t, "bold.yaml", server.URL, "20")
	incident := from.Add(begins + 10*time.Minute)
	span := []string{"--from", at(from.Add(30 * time.Minute)), "--to", at(from.Add(69 * time.Minute)), "--incident", at(incident)}
	a := backtest(t, append([]string{"-f", usual, "-f", bold}, span...)...)
	if len(a.Releases) != 1 || len(a.Releases[0].Plans) != 2 {
		t.Fatalf("%+v", a)
	}
	r := a.Releases[0]
	if off := r.From.Sub(from.Add(begins - 2*scrape)); off < 0 || off > 4*scrape {
		t.Errorf("the release is taken to begin at %s, %s off", r.From, off)
	}
	caught := r.Plans[0]
	if caught.Decision != "rollback" || !strings.Contains(caught.Answer, "after the incident began") {
		t.Errorf("seed %d: %+v", seed, caught)
	}
	if late := caught.At.Sub(incident); late < 0 || late > 10*time.Minute {
		t.Errorf("seed %d: rolled back %s after the errors began", seed, late)
	}
	if missed := r.Plans[1]; missed.Decision == "rollback" || !strings.Contains(missed.Answer, "would not have caught") {
		t.Errorf("with a margin of 20: %+v", missed)
	}
	code, text, errs := serin(t, append([]string{"backtest", "-f", usual, "-f", bold}, span...)...)
	if code != 0 || !strings.Contains(text, "rolls back") || !strings.Contains(text, "would have rolled back at") {
		t.Errorf("%d %s\n%s", code, text, errs)
	}
}

func TestAHoleIsSaidAndIsNeverAPass(t *testing.T) {
	from := past()
	// Nobody is scraped from minute 15 of the release to minute 25: longer than
	// the hold's timeout.
	server := prometheus.StartRecorded(t, release(from, false, begins+15*time.Minute, begins+25*time.Minute).openMetrics())
	plan := write(t, "shop.yaml", server.URL, "2")
	a := backtest(t, "-f", plan, "--from", at(from.Add(35*time.Minute)), "--to", at(from.Add(69*time.Minute)))
	r := a.Releases[0]
	if len(r.Holes) != 1 || r.Holes[0].Arm != "both" {
		t.Fatalf("holes %+v, want one of both", r.Holes)
	}
	if lasts := r.Holes[0].To.Sub(r.Holes[0].From); lasts < 9*time.Minute || lasts > 12*time.Minute {
		t.Errorf("the hole of ten minutes is said to be of %s", lasts)
	}
	p := r.Plans[0]
	if p.Decision != "rollback" || !strings.Contains(p.Answer, "no data is never a pass") {
		t.Errorf("%+v", p)
	}
	for _, s := range p.Timeline {
		if s.Decision == "proceed" || s.Decision == "complete" {
			t.Errorf("it goes on although figures are missing: %+v", p.Timeline)
		}
	}
}

func TestAHealthyReleaseWouldHaveGoneOn(t *testing.T) {
	from := past()
	server := prometheus.StartRecorded(t, release(from, false, 0, 0).openMetrics())
	plan := write(t, "shop.yaml", "http://127.0.0.1:1", "2")
	window := []string{"--prometheus", server.URL, "--from", at(from.Add(35 * time.Minute)), "--to", at(from.Add(69 * time.Minute))}
	a := backtest(t, append([]string{"-f", plan}, append(window, window[2:]...)...)...)
	if len(a.Releases) != 2 {
		t.Fatalf("%d releases, want one a range", len(a.Releases))
	}
	if p := a.Releases[0].Plans[0]; p.Decision == "rollback" || p.Waiting {
		t.Errorf("seed %d: %+v", seed, p)
	}
	// Before the release there was no canary.
	code, _, errs := serin(t, "backtest", "-f", plan, "--prometheus", server.URL, "--from", at(from), "--to", at(from.Add(20*time.Minute)))
	if code != 4 || !strings.Contains(errs, "no request of the canary is recorded") {
		t.Errorf("without a canary: %d %s", code, errs)
	}
	code, _, errs = serin(t, "backtest", "-f", plan, "--from", at(from), "--to", at(from.Add(20*time.Minute)))
	if code != 5 || strings.TrimSpace(errs) == "" {
		t.Errorf("a Prometheus that is not there: %d %s", code, errs)
	}
}

func TestTheExpectedTrafficIsReadFromStablesLastDay(t *testing.T) {
	server := prometheus.StartRecorded(t, release(time.Now().Add(-71*time.Minute).Truncate(time.Minute), false, 0, 0).openMetrics())
	plan := write(t, "shop.yaml", server.URL, "2")
	code, out, errs := serin(t, "simulate", "-f", plan, "--measured", "--scenario", "healthy", "--runs", "2", "-o", "json")
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	var a struct {
		TrafficFrom string
		Traffic     struct {
			RequestsPerSecond float64
			ErrorRate         string
			ResponseTime      string
		}
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	var errorRate float64
	if _, err := fmt.Sscanf(a.Traffic.ErrorRate, "%g%%", &errorRate); err != nil {
		t.Fatal(err)
	}
	median, err := time.ParseDuration(a.Traffic.ResponseTime)
	if err != nil {
		t.Fatal(err)
	}
	// Exponential times of a mean of 50 ms have a median of 35 ms.
	if r := a.Traffic.RequestsPerSecond; r < 36 || r > 42 || errorRate < 1.7 || errorRate > 2.3 || median < 30*time.Millisecond || median > 40*time.Millisecond {
		t.Errorf("seed %d: %+v, want about 38 requests/s, 2 %% errors and 35 ms", seed, a)
	}
	if !strings.Contains(a.TrafficFrom, "from Prometheus") {
		t.Errorf("the figures come from %q", a.TrafficFrom)
	}
}

// Every command of the guide is carried out, with the guide's times moved to
// when the samples are.
func TestTheGuideToBacktestsWorks(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/backtest.md")
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile("../../internal/report/testdata/errors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	from := past()
	server := prometheus.StartRecorded(t, release(from, true, 0, 0).openMetrics())
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml":    strings.NewReplacer("URL", server.URL, "MARGIN", "2").Replace(file),
		"bolder.yaml":  strings.NewReplacer("URL", server.URL, "MARGIN", "20").Replace(file),
		"record.jsonl": string(record),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	moved := strings.NewReplacer("http://prometheus:9090", server.URL,
		"2026-03-01T00:00:00Z", at(from), "2026-03-08T00:00:00Z", at(from.Add(69*time.Minute)),
		"2026-03-03T10:00:00Z", at(from.Add(35*time.Minute)), "2026-03-03T10:35:00Z", at(from.Add(69*time.Minute)),
		"2026-03-03T10:15:00Z", at(from.Add(50*time.Minute)))
	carriedOut := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(guide, -1) {
		for line := range strings.Lines(moved.Replace(string(block[1]))) {
			code, out, errs := serin(t, words(line)[1:]...)
			// The release in the record went bad a minute before its end.
			want := "would have rolled back"
			if strings.Contains(line, "--record") {
				want = "shop.yaml would "
			}
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%sexit code %d\n%s%s", line, code, out, errs)
			}
			carriedOut++
		}
	}
	if carriedOut != 4 {
		t.Errorf("%d commands were carried out", carriedOut)
	}
}

// words are those of a command line; one in single quotes may hold blanks.
func words(line string) []string {
	all := regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1)
	for i := range all {
		all[i] = strings.Trim(all[i], "'")
	}
	return all
}

// weeks records three releases: 1.5 is promoted after 40 minutes, 1.6 has five
// times the errors from its tenth minute on and is taken back after 25, and
// while 1.7 is beside 1.5 nobody is scraped for ten minutes.
func weeks(from time.Time) *recorded {
	r := &recorded{rng: rand.New(rand.NewPCG(seed, 2)), from: from}
	one := func(version string) *program {
		return &program{arm: "any", version: version, errorRate: .02, meanSeconds: .05}
	}
	old, good, bad, last := one("1.4"), one("1.5"), one("1.6"), one("1.7")
	minutes := func(since time.Duration, from, to time.Duration) bool {
		return since >= from*time.Minute && since < to*time.Minute
	}
	for since := time.Duration(0); since < 170*time.Minute; since += scrape {
		share := map[*program]float64{}
		switch {
		case minutes(since, 0, 20):
			share[old] = 1
		case minutes(since, 20, 60):
			share[old], share[good] = .9, .1
		case minutes(since, 80, 105):
			share[good], share[bad] = .9, .1
		case minutes(since, 125, 170):
			share[good], share[last] = .9, .1
		default:
			share[good] = 1
		}
		bad.errorRate = .02
		if since >= 90*time.Minute {
			bad.errorRate = .10
		}
		if minutes(since, 140, 150) {
			continue // the hole
		}
		for _, p := range []*program{old, good, bad, last} {
			if p.rps = 40 * share[p]; p.rps > 0 {
				r.scraped(p, from.Add(since))
			}
		}
	}
	return r
}

func TestReleasesAreFoundByTheirVersions(t *testing.T) {
	from := past().Add(-30 * time.Minute)
	server := prometheus.StartRecorded(t, weeks(from).openMetrics())
	byVersion := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), `arm="$(arm)"`, `version="$(version)"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	usual, bold := byVersion(write(t, "usual.yaml", server.URL, "2")), byVersion(write(t, "bold.yaml", server.URL, "20"))
	incident := from.Add(90 * time.Minute)
	args := []string{
		"-f", usual, "-f", bold, "--releases", `sum by (version) (rate(http_requests_total{job="shop"}[1m]))`,
		"--from", at(from), "--to", at(from.Add(165 * time.Minute)), "--incident", at(incident),
	}
	a := backtest(t, args...)
	var names []string
	for _, r := range a.Releases {
		names = append(names, r.Name+" "+r.Found.Ended)
		if len(r.Plans) != 2 || r.Problem != "" {
			t.Fatalf("seed %d: %+v", seed, r)
		}
	}
	want := []string{"1.4 → 1.5 promoted", "1.5 → 1.6 canaryGone", "1.5 → 1.7 open"}
	if strings.Join(names, ", ") != strings.Join(want, ", ") {
		t.Fatalf("found %q, want %q", names, want)
	}
	for i, began := range []time.Duration{20, 80, 125} {
		if off := a.Releases[i].From.Sub(from.Add(began * time.Minute)); off < -time.Minute || off > time.Minute {
			t.Errorf("%s is taken to begin at %s, %s off", want[i], a.Releases[i].From, off)
		}
	}
	good, bad, last := a.Releases[0], a.Releases[1], a.Releases[2]
	if p := good.Plans[0]; p.Decision == "rollback" || strings.Contains(p.Answer, "incident") {
		t.Errorf("seed %d: the good release: %+v", seed, p)
	}
	if p := bad.Plans[0]; p.Decision != "rollback" || !strings.Contains(p.Answer, "after the incident began") || p.At.Sub(incident) > 10*time.Minute {
		t.Errorf("seed %d: the bad release: %+v", seed, p)
	}
	if p := bad.Plans[1]; p.Decision == "rollback" || !strings.Contains(p.Answer, "would not have caught the incident") {
		t.Errorf("seed %d: the bad release, with a margin of 20: %+v", seed, p)
	}
	if p := last.Plans[0]; len(last.Holes) != 1 || p.Decision != "rollback" || !strings.Contains(p.Answer, "no data is never a pass") {
		t.Errorf("seed %d: the release with a hole: %+v %+v", seed, last.Holes, p)
	}
	if len(a.Unseen) != 1 || !strings.Contains(a.Unseen[0].Message, "no version is recorded") {
		t.Errorf("unseen: %+v", a.Unseen)
	}

	_, text, _ := serin(t, append([]string{"backtest"}, args...)...)
	for _, part := range []string{"1.5 → 1.6", "it was taken back, or ended by itself", "rolls back", "Not seen, and no pass:"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
	code, _, errs := serin(t, "backtest", "-f", usual, "--releases", `sum by (version) (rate(http_requests_total[1m]))`, "--from", at(from), "--to", at(from.Add(15*time.Minute)))
	if code != 4 || !strings.Contains(errs, "no version appeared beside another: recorded is 1.4") {
		t.Errorf("without a release: %d %s", code, errs)
	}
	code, _, errs = serin(t, "backtest", "-f", usual, "--releases", `sum(rate(http_requests_total[1m]))`, "--from", at(from), "--to", at(from.Add(15*time.Minute)))
	if code != 5 || !strings.Contains(errs, "sum by (version)") {
		t.Errorf("without a version: %d %s", code, errs)
	}
}
