package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// hanging is a program whose store takes intents and answers nothing: whoever asks
// it waits until their context ends.
type hanging struct {
	*program
	run store.Run
}

func (p hanging) Store() store.Store { return hangingStore{p.program.Store()} }

func (p hanging) Live(run string) (server.Live, bool) {
	return server.Live{Run: p.run}, run == p.run.ID
}

type hangingStore struct{ store.Store }

func (hangingStore) Load(ctx context.Context, _ string) (store.Run, error) {
	<-ctx.Done()
	return store.Run{}, store.ErrUnavailable
}

func (hangingStore) Runs(ctx context.Context, _ string, _ int) ([]store.Run, error) {
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

func (hangingStore) Lines(ctx context.Context, _ string, _, _ int) ([]record.Line, error) {
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

func (hangingStore) Answer(ctx context.Context, _, _ string) (engine.Answer, error) {
	<-ctx.Done()
	return engine.Answer{}, store.ErrUnavailable
}

// deafRun is a program with a run that does not look at its intents.
func deafRun(t *testing.T) (*program, store.Run) {
	t.Helper()
	p := newProgram(t)
	p.deaf = true
	run, err := p.Release(t.Context(), "shop", server.Candidate{Version: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	return p, run
}

// The store cannot be read: who asks for a rollback is heard all the same and told
// so, and nobody waits for long.
func TestARollbackIsNotedAlthoughTheStoreCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, run := deafRun(t)
		c := server.NewClient(server.InProcess(server.New(hanging{p, run}, "test"), "ana"))
		defer c.Close()
		begun := time.Now()
		if got, err := c.Run(t.Context(), run.ID); err != nil || got.ID != run.ID || time.Since(begun) > 0 {
			t.Errorf("the run is %+v (%v) after %s", got, err, time.Since(begun))
		}
		said, err := c.Ask(t.Context(), run.ID, server.IntentRequest{Intent: rollout.Rollback})
		if err != nil || said.Answered || said.ID == "" {
			t.Errorf("a rollback is answered with %+v, %v; want it noted", said, err)
		}
		if open, err := p.store.Intents(t.Context(), run.ID); err != nil || len(open) != 1 || open[0].Kind != rollout.Rollback {
			t.Errorf("noted is %+v (%v), want the rollback", open, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("that took %s", took)
		}
		for what, ask := range map[string]func() error{
			"the runs":    func() error { _, err := c.Runs(t.Context(), "shop", 1); return err },
			"another run": func() error { _, err := c.Run(t.Context(), "other"); return err },
			"the news":    func() error { _, err := c.Events(t.Context(), run.ID, 0, 0); return err },
		} {
			begun := time.Now()
			if err := ask(); code(t, err) != server.CodeUnavailable || time.Since(begun) > 31*time.Second {
				t.Errorf("%s: %v after %s", what, err, time.Since(begun))
			}
		}
	})
}

// slow is a program whose store takes ten seconds for a write.
type slow struct{ *program }

func (p slow) Store() store.Store { return slowStore{p.program.Store()} }

type slowStore struct{ store.Store }

func (s slowStore) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	select {
	case <-time.After(10 * time.Second):
		return s.Store.AddIntent(ctx, run, i)
	case <-ctx.Done():
		return store.ErrUnavailable
	}
}

// Who asks for a rollback waits for a slow API server, and is not refused.
func TestARollbackWaitsForASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, run := deafRun(t)
		c := server.NewClient(server.InProcess(server.New(slow{p}, "test"), "ana"))
		defer c.Close()
		if _, err := c.Ask(t.Context(), run.ID, server.IntentRequest{Intent: rollout.Pause}); code(t, err) != server.CodeUnavailable {
			t.Errorf("a pause: %v", err)
		}
		if _, err := c.Ask(t.Context(), run.ID, server.IntentRequest{Intent: rollout.Rollback}); err != nil {
			t.Errorf("a rollback: %v", err)
		}
		if open, err := p.store.Intents(t.Context(), run.ID); err != nil || len(open) != 1 || open[0].Kind != rollout.Rollback {
			t.Errorf("noted is %+v (%v), want the rollback", open, err)
		}
	})
}

// distant is a program whose store is asked over a network, a second apart.
type distant struct {
	*program
	asked *int
}

func (p distant) Glance() time.Duration { return time.Second }
func (p distant) Store() store.Store    { return distantStore{p.program.Store(), p.asked} }
func (p distant) Watch(string) (<-chan struct{}, func()) {
	return nil, func() {}
}

type distantStore struct {
	store.Store
	asked *int
}

func (s distantStore) Load(ctx context.Context, run string) (store.Run, error) {
	*s.asked++
	return s.Store.Load(ctx, run)
}

func (s distantStore) Lines(ctx context.Context, run string, after, limit int) ([]record.Line, error) {
	*s.asked++
	return s.Store.Lines(ctx, run, after, limit)
}

// Who waits for news of a run on a cluster asks its API server about once a second
// and no more, and hears of a new line within that second.
func TestWhoWaitsAsksADistantStoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, run := deafRun(t)
		asked := 0
		c := server.NewClient(server.InProcess(server.New(distant{p, &asked}, "test"), "ana"))
		defer c.Close()
		known, err := c.Events(t.Context(), run.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		asked = 0
		if news, err := c.Events(t.Context(), run.ID, known.Next, 20*time.Second); err != nil || len(news.Lines) > 0 {
			t.Fatalf("news: %+v, %v", news, err)
		}
		if asked > 25 {
			t.Errorf("the store was asked %d times in 20 s", asked)
		}
		go func() {
			time.Sleep(7300 * time.Millisecond)
			if err := p.store.Append(t.Context(), run.ID, []record.Line{line(t, record.Decision{})}); err != nil {
				t.Error(err)
			}
		}()
		begun := time.Now()
		news, err := c.Events(t.Context(), run.ID, known.Next, 20*time.Second)
		if took := time.Since(begun); err != nil || len(news.Lines) != 1 || took > 8*time.Second+300*time.Millisecond {
			t.Errorf("news after %s: %+v, %v", took, news, err)
		}
	})
}
