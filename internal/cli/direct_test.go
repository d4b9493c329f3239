package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// unlisted is a program, or a cluster, with a run that goes on, where whoever wants
// a list waits.
type unlisted struct {
	server.ReadOnly
	run *oneRun
}

func (u unlisted) Store() store.Store { return u.run }

func (u unlisted) Rollouts(ctx context.Context) ([]server.Rollout, error) {
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

func (u unlisted) Rollout(context.Context, string) (server.Rollout, error) {
	return server.Rollout{}, server.ErrUnknownRollout
}

func (u unlisted) Owns(string) error { return nil }

// oneRun is a store with one run, which answers intents as its runner would.
type oneRun struct {
	store.Store
	mu       sync.Mutex
	run      store.Run
	answered []engine.Answer
}

func (s *oneRun) Runs(ctx context.Context, _ string, _ int) ([]store.Run, error) {
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

func (s *oneRun) Load(_ context.Context, id string) (store.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.run.ID {
		return store.Run{}, store.ErrNotFound
	}
	return s.run, nil
}

func (s *oneRun) AddIntent(_ context.Context, _ string, i rollout.Intent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := engine.Decide(s.run.Plan, s.run.State, engine.Observation{At: time.Now(), Intents: []rollout.Intent{i}})
	s.run.State, s.answered = d.Next, append(s.answered, d.Answered...)
	return nil
}

func (s *oneRun) Answer(_ context.Context, _, intent string) (engine.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.answered {
		if a.ID == intent {
			return a, nil
		}
	}
	return engine.Answer{}, store.ErrNotFound
}

// Who knows the run's id has it rolled back, however long a list of runs takes.
func TestARollbackByIdWaitsForNoList(t *testing.T) {
	for name, c := range map[string]struct {
		id   string
		args func(t *testing.T, b server.Backend) (Program, []string)
	}{
		"in the daemon":           {"shop-20261128-101112-ab3d", onSocket(server.DaemonSocket)},
		"in serin run":            {"shop-20261128-101112-ab3d", onSocket(func(state string) string { return server.RunSocket(state, "shop") })},
		"on a cluster":            {"shop-12", onCluster},
		"of a rollout like a run": {"shop-2-3", onCluster},
	} {
		t.Run(name, func(t *testing.T) {
			plan := engine.Plan{
				Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Hour)}}, Prepare: rollout.Duration(time.Hour)},
				Analysis: rollout.Analysis{Interval: rollout.Duration(time.Second)},
			}
			run := &oneRun{run: store.Run{ID: c.id, Rollout: "shop", Plan: plan, State: engine.Start(plan)}}
			p, args := c.args(t, unlisted{run: run})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out, errs bytes.Buffer
			if code := p.Main(ctx, append([]string{"rollback", c.id}, args...), strings.NewReader(""), &out, &errs); code != 0 {
				t.Fatalf("exits with %d: %s", code, errs.String())
			}
			if ctx.Err() != nil {
				t.Error("it waited for as long as it could")
			}
			if r, err := run.Load(t.Context(), c.id); err != nil || r.State.Status != engine.RollingBack {
				t.Errorf("the run is %s (%v): %s%s", r.State.Status, err, out.String(), errs.String())
			}
		})
	}
}

func onSocket(at func(state string) string) func(*testing.T, server.Backend) (Program, []string) {
	return func(t *testing.T, b server.Backend) (Program, []string) {
		state, err := os.MkdirTemp("", "serin-cli-")
		if err != nil {
			t.Fatal(err)
		}
		l, err := server.Listen(at(state))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ctx, l, server.New(b, "test"), slog.New(slog.DiscardHandler)) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			os.RemoveAll(state)
		})
		nothing := func(ctx context.Context, _ string) (server.Backend, func() error, error) {
			return b, io.NopCloser(nil).Close, nil
		}
		return Program{ReadOnly: nothing}, []string{"--state", state}
	}
}

func onCluster(t *testing.T, b server.Backend) (Program, []string) {
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, []byte(`{apiVersion: v1, kind: Config, current-context: c,
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}],
contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return Program{Cluster: Cluster{Open: func(*kube.Connection) (server.Backend, error) { return b, nil }}}, []string{"--kubeconfig", config}
}
