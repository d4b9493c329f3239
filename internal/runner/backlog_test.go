package runner

import (
	"bytes"
	"context"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
)

// fullDisk is a store that takes no save while it is full, and notes how much of
// the record it was given at once.
type fullDisk struct {
	store.Store
	full          bool
	most, refused int
}

func (d *fullDisk) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	d.most = max(d.most, size(c.Lines))
	if d.full {
		d.refused++
		return 0, store.ErrFull
	}
	return d.Store.Save(ctx, r, c)
}

// A disk is full for hours. What waits to be written is bounded, what people did
// meanwhile is in the record, which says that something is missing, and decides
// the same again.
func TestWhatCannotBeSavedIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	plan := engine.Plan{
		Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 25, Duration: rollout.Duration(24 * time.Hour)}}, Prepare: rollout.Duration(time.Minute), HoldTimeout: rollout.Duration(48 * time.Hour)},
		Analysis: rollout.Analysis{Interval: rollout.Duration(time.Second)},
	}
	header, err := record.Encode(record.Header{Record: record.Version, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	disk := &fullDisk{Store: &memory.Store{}}
	run := store.Run{ID: "shop-1", Rollout: "shop", Plan: plan, State: engine.Start(plan)}
	if err := disk.Create(t.Context(), run, []record.Line{header}, nil); err != nil {
		t.Fatal(err)
	}
	w := &obedient{Store: disk}
	r := New(run.ID, Ports{Store: disk, Router: obedientRouter{w}, Workload: obedientWorkload{w}, Jobs: noJobs{}, Tests: noTests{}},
		Options{Now: func() time.Time { return now }, Synchronous: true})
	looks := func(n int) {
		for range n {
			_, err := r.Step(t.Context())
			if err != nil && !disk.full {
				t.Fatal(err)
			}
			now = now.Add(time.Second)
		}
	}
	ask := func(id string, kind rollout.IntentKind) {
		if err := disk.AddIntent(t.Context(), run.ID, rollout.Intent{ID: id, Kind: kind, Actor: "ana", At: now}); err != nil {
			t.Fatal(err)
		}
	}
	looks(10)
	disk.full = true
	ask("i1", rollout.Pause)
	looks(3 * 3600)
	ask("i2", rollout.Rollback)
	looks(3600)
	if w.split.Weight != 0 {
		t.Errorf("the canary gets %d %% an hour after a person asked for a rollback", w.split.Weight)
	}
	if disk.refused < 4*3600 {
		t.Errorf("the disk was tried %d times in four hours", disk.refused)
	}
	if most := 3 << 20; disk.most > most {
		t.Errorf("%d bytes of the record were kept in memory, want at most %d", disk.most, most)
	}
	disk.full = false
	looks(100)

	stored, err := disk.Load(t.Context(), run.ID)
	if err != nil || stored.State.Status != engine.RolledBack {
		t.Errorf("the run is stored as %s (%v), want rolled back", stored.State.Status, err)
	}
	lines, err := disk.Lines(t.Context(), run.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := record.Replay(bytes.NewReader(recordtest.Join(lines)))
	if err != nil || len(again.Differences) > 0 || again.State.Position() != stored.State.Position() {
		t.Errorf("replayed, the run comes to %s, with the differences %v: %v", again.State.Position(), again.Differences, err)
	}
	if again.Missing == 0 {
		t.Error("the record does not say that anything is missing")
	}
	var answered []string
	for _, l := range lines {
		e, err := record.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		var decisions []record.Decision
		if e.Decision != nil {
			decisions = append(decisions, *e.Decision)
		}
		if e.Gap != nil {
			decisions = append(decisions, e.Gap.Moved...)
		}
		for _, d := range decisions {
			for _, a := range d.Answered {
				answered = append(answered, a.ID)
			}
		}
	}
	if len(answered) != 2 || answered[0] != "i1" || answered[1] != "i2" {
		t.Errorf("the record holds the answers %v, want those of the pause and the rollback", answered)
	}
}
