//go:build plane

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/record"
)

// The bars are those that the project has set itself.
const (
	memoryBar   = 80 << 20
	memoryAt    = 500 // idle rollouts
	medianBar   = 10 * time.Second
	lastBar     = 15 * time.Second
	writeBar    = time.Second
	tickLateBar = 5.0 // seconds; a tick that is later is not on time
)

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// span is what a controller did in a measurement.
type span struct {
	usage
	took     time.Duration
	cpuShare float64
	requests
}

func (w *world) observe(ctx context.Context) (span, error) {
	before, err := w.controller.usage()
	if err != nil {
		return span{}, err
	}
	if err := pause(ctx, w.measure); err != nil {
		return span{}, err
	}
	after, err := w.controller.usage()
	if err != nil {
		return span{}, err
	}
	s := span{usage: after, took: after.at.Sub(before.at)}
	s.cpuShare = (after.cpu - before.cpu).Seconds() / s.took.Seconds()
	s.requests, err = w.audit.between(before.at, after.at)
	return s, err
}

func (s span) aMinute(n int) string { return fmt.Sprintf("%.1f", float64(n)/s.took.Minutes()) }

// idle measures the controller while nothing happens.
func (w *world) idle(ctx context.Context, n int, t *table) error {
	if err := pause(ctx, w.settle); err != nil {
		return err
	}
	s, err := w.observe(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d idle rollouts, %d pods: ", n, n*w.replicas)
	bar, calls := "", ""
	if n == memoryAt {
		bar, calls = "80 MiB", "0"
	}
	t.add(what+"resident memory", mib(s.resident), bar, s.resident <= memoryBar)
	t.tell(what+"most there ever was", mib(s.peak))
	t.tell(what+"CPU of one core", fmt.Sprintf("%.2f %%", 100*s.cpuShare))
	t.add(what+"API requests a minute", s.aMinute(s.others), calls, s.others == 0)
	t.tell(what+"watches begun anew a minute", s.aMinute(s.watches))
	t.tell(what+"lease renewals a minute", s.aMinute(s.leases))
	if s.others > 0 {
		w.say("requests: %s", s.most())
	}
	return w.afresh(ctx, what, bar, t)
}

// afresh measures the memory of a controller that finds everything there.
func (w *world) afresh(ctx context.Context, what, bar string, t *table) error {
	w.controller.kill()
	if err := w.startController(ctx); err != nil {
		return err
	}
	// The lease of the one before has to run out first.
	if err := pause(ctx, 20*time.Second+w.settle); err != nil {
		return err
	}
	u, err := w.controller.usage()
	if err != nil {
		return err
	}
	t.add(what+"resident memory after a restart", mib(u.resident), bar, u.resident <= memoryBar)
	return nil
}

// busy measures many runs at once, and how they get back when all turn bad.
func (w *world) busy(ctx context.Context, idle int, t *table) error {
	for i := range w.running {
		w.exporter.play(shopOf("run", i).key())
	}
	if err := w.add(ctx, "run", 0, w.running); err != nil {
		return err
	}
	began := time.Now()
	if err := each("run", 0, w.running, func(s shop) error { return w.release(ctx, s) }); err != nil {
		return err
	}
	at := func(weight int64) func() error {
		return func() error {
			n := 0
			for i := range w.running {
				if got, _ := w.routes.at(shopOf("run", i).key()); got == weight {
					n++
				}
			}
			if n < w.running {
				return fmt.Errorf("%d of %d routes have the weight %d", n, w.running, weight)
			}
			return nil
		}
	}
	if err := w.eventually(ctx, 10*time.Minute, at(int64(w.weight))); err != nil {
		return err
	}
	w.say("%d runs have their first weight after %s", w.running, time.Since(began).Round(time.Second))
	if err := pause(ctx, w.settle); err != nil {
		return err
	}
	what := fmt.Sprintf("%d running at %d %%, %d idle: ", w.running, w.weight, idle)
	if err := w.ticks(ctx, what, t); err != nil {
		return err
	}
	turned := w.exporter.turn()
	w.say("every canary answers badly from now on")
	back := w.eventually(ctx, 3*time.Minute, at(0))
	if err := w.incident(ctx, turned, t); err != nil {
		return err
	}
	return back
}

// ticks counts ticks made of ticks due, and what they cost.
func (w *world) ticks(ctx context.Context, what string, t *table) error {
	before, err := w.controller.telemetry(ctx)
	if err != nil {
		return err
	}
	s, err := w.observe(ctx)
	if err != nil {
		return err
	}
	after, err := w.controller.telemetry(ctx)
	if err != nil {
		return err
	}
	diff := func(name string) float64 { return after[name] - before[name] }
	made, due := diff("serin_ticks_total"), float64(w.running)*s.took.Seconds()/w.interval.Seconds()
	// A run's ticks fall anywhere in the time, so one a run may be outside of it.
	slack := float64(w.running)
	t.add(what+"ticks made of ticks due", fmt.Sprintf("%.0f of %.0f", made, due), "every one", made >= due-slack && made >= 0.99*due)
	late := diff("serin_tick_lateness_seconds_count") - diff(`serin_tick_lateness_seconds_bucket{le="`+strconv.FormatFloat(tickLateBar, 'g', -1, 64)+`"}`)
	t.add(what+"ticks later than "+fmt.Sprint(tickLateBar)+" s", fmt.Sprintf("%.0f", late), "0", late == 0)
	for _, le := range []string{"0.1", "0.25", "0.5", "1", "2.5"} {
		share := diff(`serin_tick_lateness_seconds_bucket{le="` + le + `"}`)
		t.tell(what+"ticks carried out within "+le+" s", fmt.Sprintf("%.0f", share))
	}
	t.tell(what+"resident memory", mib(s.resident))
	t.tell(what+"CPU of one core", fmt.Sprintf("%.1f %%", 100*s.cpuShare))
	t.tell(what+"API requests a tick", fmt.Sprintf("%.2f", float64(s.others)/max(made, 1)))
	w.say("requests: %s", s.most())
	return nil
}

// incident tells how long the runs took to get back, and how long a verdict took
// to become a weight.
func (w *world) incident(ctx context.Context, turned time.Time, t *table) error {
	var took, write []time.Duration
	never := 0
	for i := range w.running {
		s := shopOf("run", i)
		weight, at := w.routes.at(s.key())
		if weight != 0 {
			never++
			continue
		}
		if at.Before(turned) {
			w.say("%s had gone back before", s.key())
			never++
			continue
		}
		took = append(took, at.Sub(turned))
		verdict, err := w.verdict(ctx, s)
		if err != nil {
			return err
		}
		write = append(write, at.Sub(verdict))
	}
	what := fmt.Sprintf("all %d turn bad at once: ", w.running)
	t.add(what+"back at weight 0 within 3 minutes", fmt.Sprintf("%d of %d", len(took), w.running), "every one", never == 0)
	t.add(what+"median time to weight 0", seconds(quantile(took, 0.5)), "10 s", quantile(took, 0.5) <= medianBar)
	t.add(what+"last time to weight 0", seconds(quantile(took, 1)), "15 s", never == 0 && quantile(took, 1) <= lastBar)
	t.tell(what+"verdict to weight seen, median", seconds(quantile(write, 0.5)))
	t.add(what+"verdict to weight seen, p99", seconds(quantile(write, 0.99)), "1 s", quantile(write, 0.99) <= writeBar)
	return nil
}

// verdict is when the record says that a shop's run was to go back.
func (w *world) verdict(ctx context.Context, s shop) (time.Time, error) {
	connection, err := kube.Connect(kube.Target{Kubeconfig: w.plane.Kubeconfig, Namespace: s.namespace}, "serin-bench")
	if err != nil {
		return time.Time{}, err
	}
	backend, err := app.Cluster(connection)
	if err != nil {
		return time.Time{}, err
	}
	st := backend.Store()
	runs, err := st.Runs(ctx, s.name, 1)
	if err != nil || len(runs) == 0 {
		return time.Time{}, fmt.Errorf("the run of %s: %w", s.key(), err)
	}
	lines, err := st.Lines(ctx, runs[0].ID, 0, 0)
	if err != nil {
		return time.Time{}, err
	}
	for _, l := range lines {
		e, err := record.Parse(l)
		if err != nil {
			return time.Time{}, err
		}
		if e.Decision != nil && e.Decision.Decision == engine.Rollback {
			return e.Decision.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("the record of %s holds no rollback", s.key())
}
