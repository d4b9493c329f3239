package rollout_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the clock changes are tested whatever the machine knows

	"serin.dev/serin/internal/rollout"
)

func minutes(n int) rollout.Duration { return rollout.Duration(time.Duration(n) * time.Minute) }

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func plan(phases ...rollout.Phase) rollout.Plan {
	return rollout.Plan{Prepare: rollout.DefaultPrepare, Phases: phases}
}

func TestATimelineReadsAsAPersonWouldSayIt(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	seconds := func(n int) rollout.Duration { return rollout.Duration(time.Duration(n) * time.Second) }
	early := plan(rollout.DefaultPhases()...)
	early.Early = &rollout.Early{After: minutes(5)}
	for _, c := range []struct {
		name  string
		plan  rollout.Plan
		start time.Time
		want  string
	}{
		{"the source document's plan", plan(rollout.DefaultPhases()...), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 14:40"},
		{"rounded to the minute", plan(rollout.DefaultPhases()...), time.Date(2026, 3, 2, 12, 0, 31, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 14:41"},
		{"over midnight", plan(rollout.DefaultPhases()...), time.Date(2026, 3, 2, 22, 0, 0, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 00:40 tomorrow"},
		{"rounded into the next day", plan(rollout.DefaultPhases()...), time.Date(2026, 3, 2, 21, 19, 45, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 00:00 tomorrow"},
		{"several days", plan(rollout.Phase{Weight: 5, Duration: minutes(24 * 60)}, rollout.Phase{Weight: 100, Duration: minutes(48 * 60)}), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % for 1 d → 100 % for 2 d: 3 d, ends about 12:10 on Thu 5 Mar"},
		{"clocks go forward at two", plan(rollout.DefaultPhases()...), time.Date(2026, 3, 29, 0, 30, 0, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 04:10 CEST"},
		{"clocks go back at three", plan(rollout.DefaultPhases()...), time.Date(2026, 10, 25, 0, 30, 0, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 02:10 CET"},
		{"a demo of seconds", plan(rollout.Phase{Weight: 5, Duration: seconds(15)}, rollout.Phase{Weight: 50, Duration: seconds(15)}, rollout.Phase{Weight: 100, Duration: seconds(15)}), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % → 50 % → 100 %, 15 s each: 45 s, ends about 12:01:00"},
		{"phases of different lengths", plan(rollout.Phase{Weight: 5, Duration: minutes(90)}, rollout.Phase{Weight: 100, Duration: minutes(30)}), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % for 1 h 30 min → 100 % for 30 min: 2 h, ends about 14:10"},
		{"one phase", plan(rollout.Phase{Weight: 10, Duration: minutes(30)}), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"10 % for 30 min, ends about 12:40"},
		{"approvals", plan(rollout.Phase{Weight: 5, Duration: minutes(30)}, rollout.Phase{Weight: 50, Duration: minutes(30), Approval: true}, rollout.Phase{Weight: 100, Duration: minutes(30), Approval: true}), time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % → 50 % → 100 %, 30 min each: 1 h 30 min, ends about 13:40, plus the wait for approval before 50 %, 100 %"},
		{"phases that may end early", early, time.Date(2026, 3, 2, 12, 0, 0, 0, berlin),
			"5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 14:40 or sooner"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.plan.Timeline(c.start).String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestATimelineHasARowForEveryStepWithoutGaps(t *testing.T) {
	start := time.Date(2026, 3, 28, 23, 50, 0, 0, zone(t, "Europe/Berlin"))
	p := plan(rollout.DefaultPhases()...)
	p.Phases[3].Approval = true
	tl := p.Timeline(start)
	if len(tl.Rows) != 6 || tl.Rows[0].Phase != 0 || !tl.Rows[0].From.Equal(start) {
		t.Fatalf("rows: %+v", tl.Rows)
	}
	for i, r := range tl.Rows[1:] {
		if r.Phase != i+1 || r.Weight != p.Phases[i].Weight || !r.From.Equal(tl.Rows[i].To) || r.To.Sub(r.From) != time.Duration(p.Phases[i].Duration) {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
	if got := tl.End().Sub(start); got != 160*time.Minute || tl.Watched() != p.Watched() {
		t.Errorf("ends after %s, watched %s", got, tl.Watched())
	}
	// The clocks go forward from 02:00 to 03:00, after the fourth phase.
	want := strings.TrimPrefix(`
prepare   up to 10 min   23:50 CET – 00:00 CET tomorrow
  5 %     30 min         00:00 CET tomorrow – 00:30 CET tomorrow
 10 %     30 min         00:30 CET tomorrow – 01:00 CET tomorrow
 25 %     30 min         01:00 CET tomorrow – 01:30 CET tomorrow
 50 %     30 min         01:30 CET tomorrow – 03:00 CEST tomorrow   after an approval
100 %     30 min         03:00 CEST tomorrow – 03:30 CEST tomorrow
`, "\n")
	if got := tl.Table(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDurationsInWords(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0 s"}, {250 * time.Millisecond, "250 ms"}, {time.Microsecond, "1µs"}, {15 * time.Second, "15 s"}, {1500 * time.Millisecond, "1.5 s"},
		{90 * time.Second, "1 min 30 s"}, {30 * time.Minute, "30 min"}, {150 * time.Minute, "2 h 30 min"},
		{25 * time.Hour, "1 d 1 h"}, {-time.Minute, "-1 min"},
	} {
		if got := rollout.Words(c.d); got != c.want {
			t.Errorf("Words(%s) = %q, want %q", c.d, got, c.want)
		}
	}
}
