package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/archive/file"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
)

// program is a small program behind the API: it has one rollout, "shop", and
// carries its run by the engine's answers to intents alone.
type program struct {
	t       *testing.T
	store   *memory.Store
	archive archive.Archive
	// deaf programs never look at intents.
	deaf bool
	// logs is what Logs writes before it returns logsEnd or, with follow, waits.
	logs    string
	logsEnd error
	// listening is told when a follower has gone.
	gone chan struct{}

	mu       sync.Mutex
	watchers []chan struct{}
}

func newProgram(t *testing.T) *program {
	ar, err := file.New(file.Config{}, filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	return &program{t: t, store: &memory.Store{}, archive: ar, gone: make(chan struct{})}
}

func (p *program) Store() store.Store       { return p.store }
func (p *program) Archive() archive.Archive { return p.archive }

func (p *program) Rollouts(ctx context.Context) ([]server.Rollout, error) {
	r := server.Rollout{Name: "shop", Serving: "v1", Listen: "127.0.0.1:8080", Stable: server.Readiness{Version: "v1", Instances: 1, Ready: 1}}
	if run, err := p.store.Active(ctx, "shop"); err == nil {
		r.Run = run.ID
	}
	return []server.Rollout{r}, nil
}

func (p *program) Rollout(ctx context.Context, name string) (server.Rollout, error) {
	if err := p.Owns(name); err != nil {
		return server.Rollout{}, err
	}
	all, err := p.Rollouts(ctx)
	return all[0], err
}

func (p *program) Owns(name string) error {
	if name != "shop" {
		return fmt.Errorf("%q: %w", name, server.ErrUnknownRollout)
	}
	return nil
}

func (p *program) Release(ctx context.Context, name string, c server.Candidate) (store.Run, error) {
	if err := p.Owns(name); err != nil {
		return store.Run{}, err
	}
	if c.Version == "v1" {
		return store.Run{}, fmt.Errorf("release v1: %w", server.ErrNothingToDo)
	}
	plan := engine.Plan{
		Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Minute)}}, Prepare: rollout.Duration(time.Minute)},
		Analysis: rollout.Analysis{Interval: rollout.Duration(time.Second)},
	}
	candidate, err := json.Marshal(c.Command)
	if err != nil {
		return store.Run{}, err
	}
	run := store.Run{
		ID: "shop-" + c.Version, Rollout: name, StableVersion: "v1", CanaryVersion: c.Version, Candidate: candidate,
		Actor: c.Actor, StartedAt: time.Now().UTC(), Plan: plan, State: engine.Start(plan),
	}
	if err := p.store.Create(ctx, run, []record.Line{line(p.t, record.Header{Record: record.Version, Plan: plan})}, nil); err != nil {
		return store.Run{}, err
	}
	return p.store.Load(ctx, run.ID)
}

// Wake looks at the run as a runner would, at weight 0.
func (p *program) Wake(run string) {
	if p.deaf {
		return
	}
	ctx := p.t.Context()
	r, err := p.store.Load(ctx, run)
	if err != nil {
		p.t.Error(err)
		return
	}
	intents, err := p.store.Intents(ctx, run)
	if err != nil {
		p.t.Error(err)
		return
	}
	o := engine.Observation{At: time.Now().UTC(), Intents: intents}
	d := engine.Decide(r.Plan, r.State, o)
	r.State = d.Next
	if _, err := p.store.Save(ctx, r, store.Change{Answered: d.Answered, Lines: []record.Line{line(p.t, record.DecisionOf(o, d))}}); err != nil {
		p.t.Error(err)
	}
	p.tell()
}

// end ends the run.
func (p *program) end(id string, status engine.Status) {
	p.t.Helper()
	r, err := p.store.Load(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	r.State.Status, r.EndedAt = status, time.Now().UTC()
	if _, err := p.store.Save(p.t.Context(), r, store.Change{}); err != nil {
		p.t.Fatal(err)
	}
	p.tell()
}

func (p *program) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

func (p *program) Watch(string) (<-chan struct{}, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := make(chan struct{}, 1)
	p.watchers = append(p.watchers, w)
	return w, func() {}
}

func (p *program) Glance() time.Duration { return server.AtHand }

func (p *program) Live(run string) (server.Live, bool) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tick := rollout.Tick{At: at, Weight: 5}
	return server.Live{At: at, Decision: record.Decision{At: at, Decision: engine.Wait, Weight: 5}, Input: record.InputOf(engine.Observation{At: at, Tick: &tick})}, true
}

func (p *program) Logs(ctx context.Context, name string, arm rollout.Arm, follow bool, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s %s: %s\n", name, arm, p.logs); err != nil {
		return err
	}
	if follow {
		<-ctx.Done()
		close(p.gone)
		return nil
	}
	return p.logsEnd
}

func line(t *testing.T, v any) record.Line {
	t.Helper()
	l, err := record.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// listen serves the program's API at a socket until the test ends and returns a
// client and the socket.
func listen(t *testing.T, p server.Backend) (*server.Client, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "state", "serin.sock")
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, p)
	c, err := server.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, socket
}

func serve(t *testing.T, l net.Listener, p server.Backend) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, server.New(p, "test"), slog.New(slog.DiscardHandler)) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("serve: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the API did not stop")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// release starts the run of v2.
func release(t *testing.T, c *server.Client) server.Run {
	t.Helper()
	r, err := c.Release(t.Context(), "shop", server.ReleaseRequest{Version: "v2", Command: []string{"./shop", "-v2"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, body io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// code returns the code of a problem.
func code(t *testing.T, err error) server.Code {
	t.Helper()
	var p *server.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%v is not a problem", err)
	}
	if p.Detail == "" || p.Status < 400 || p.Title == "" {
		t.Errorf("the problem %+v lacks words", p)
	}
	return p.Code
}
