package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
)

// runs keeps one loop for every run that goes on. No run waits for another, so
// a rollback waits for nobody.
type runs struct {
	opts Options
	// ended tells that a rollout's run has come to its end, or stands otherwise.
	ended func(types.NamespacedName)

	mu    sync.Mutex
	ctx   context.Context // nil until the manager leads, and after it stopped
	loops map[string]*loop
	wg    sync.WaitGroup
}

type loop struct {
	rollout types.NamespacedName
	wake    runner.Waker
	// stands is where the run was when the rollout was last told of it.
	stands standing
}

func newRuns(o Options) *runs {
	return &runs{opts: o, loops: map[string]*loop{}}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader
// carries runs.
func (r *runs) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable. When ctx ends, every loop finishes the
// look it is in: what was done is saved.
func (r *runs) Start(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// ensure begins the loop of a run that has none. False: this program does not
// lead yet.
func (r *runs) ensure(key types.NamespacedName, run string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return false
	}
	name := key.Namespace + "/" + run
	if _, ok := r.loops[name]; ok {
		return true
	}
	l := &loop{rollout: key, wake: runner.NewWaker()}
	r.loops[name] = l
	ctx := r.ctx
	r.wg.Go(func() {
		r.carry(ctx, l, run)
		r.mu.Lock()
		delete(r.loops, name)
		r.mu.Unlock()
		r.ended(key)
	})
	return true
}

// carries reports that a run has a loop.
func (r *runs) carries(run types.NamespacedName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.loops[run.Namespace+"/"+run.Name]
	return ok
}

// carry takes a run to its end, however often that has to be begun anew.
func (r *runs) carry(ctx context.Context, l *loop, run string) {
	log := r.opts.Logger.With("rollout", l.rollout.String(), "run", run)
	name := types.NamespacedName{Namespace: l.rollout.Namespace, Name: run}
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := r.opts.Program.Carry(ctx, name, l.wake, func(look runner.Look, err error) { r.told(l, look, err) })
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrNotFound):
			log.Warn("the run is gone", "error", err)
			return
		}
		r.stuck(l, err)
		log.Error("the run cannot be carried; it is tried again", "error", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// stuck says of a run that its loop cannot even look.
func (r *runs) stuck(l *loop, err error) {
	r.mu.Lock()
	now := l.stands
	now.trouble = oneLine(err.Error())
	if now.position == "" {
		now.position, now.verdict = string(engine.Preparing), string(engine.Wait)
	}
	same := l.stands == now
	l.stands = now
	r.mu.Unlock()
	if !same {
		r.ended(l.rollout)
	}
}

// told passes on that a run stands somewhere else than before.
func (r *runs) told(l *loop, look runner.Look, err error) {
	now := standingOf(look, err)
	r.mu.Lock()
	same := l.stands == now
	l.stands = now
	r.mu.Unlock()
	if !same {
		r.ended(l.rollout)
	}
}

// wake asks the loops of a rollout to look at once.
func (r *runs) wake(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.loops {
		if l.rollout == key {
			l.wake.Wake()
		}
	}
}

// standing returns where a run stands, as its loop last said.
func (r *runs) standing(key types.NamespacedName, run string) standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, ok := r.loops[key.Namespace+"/"+run]; ok {
		return l.stands
	}
	return standing{}
}
