package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/server"
)

// failed is the verdict on a check that a version is rolled back for.
const failed = analysis.Fail

// stateDir is where the daemon keeps its state, in the demo's folder.
const stateDir = "state"

// home is the daemon that the demo runs, as its users see it.
type home struct {
	program string
	seed    uint64
	// serving is what the version that serves is like.
	serving version
	state   string
	url     string
	client  *server.Client
	stop    context.CancelFunc
	done    chan error
}

// open writes the rollout's file, starts the daemon on it and waits until the
// shop answers.
func open(ctx context.Context, o Options) (_ *home, err error) {
	rollouts := filepath.Join(o.Dir, "rollouts")
	if err := os.MkdirAll(rollouts, 0o700); err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	text, err := file(command(o.Program, first, firstVersion, o.Seed))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(rollouts, name+".yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's rollout: %w", err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &home{
		program: o.Program, seed: o.Seed, serving: firstVersion,
		state: filepath.Join(o.Dir, stateDir), stop: stop, done: make(chan error, 1),
	}
	ready := make(chan string, 1)
	go func() {
		h.done <- o.Serve(serving, h.state, rollouts, func(listen map[string]string) { ready <- listen[name] })
	}()
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	select {
	case address := <-ready:
		h.url = "http://" + address
	case err := <-h.done:
		h.done <- nil
		return nil, fmt.Errorf("start the daemon: %w", err)
	case <-ctx.Done():
		return nil, fmt.Errorf("start the daemon: not ready after %s: %w", openTime, ctx.Err())
	}
	if h.client, err = server.Dial(ctx, server.DaemonSocket(h.state)); err != nil {
		return nil, fmt.Errorf("reach the daemon: %w", err)
	}
	return h, h.answering(ctx)
}

// answering waits until the shop answers through the proxy.
func (h *home) answering(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+"/healthz", nil)
		if err != nil {
			return fmt.Errorf("ask the shop: %w", err)
		}
		answer, err := client.Do(r)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answered %s", answer.Status)
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the shop does not answer at %s: %w; its log is under %s", h.url, err, h.state)
		}
	}
}

// release starts the run of a version that is like v and returns its id.
func (h *home) release(ctx context.Context, label string, v version) (string, error) {
	h.seed++ // every version has its own chance
	run, err := h.client.Release(ctx, name, server.ReleaseRequest{Version: label, Command: command(h.program, label, v, h.seed)})
	return run.ID, err
}

// feed reads a run's news from the daemon.
func (h *home) feed(run string) view.Feed {
	return func(ctx context.Context, after int) (view.News, error) {
		news, err := h.client.Events(ctx, run, after, time.Second)
		return view.News{Run: news.Run.Stored(), Lines: news.Lines}, err
	}
}

// archived waits until the run's report is written and notes where.
func (h *home) archived(ctx context.Context, run string, m *view.Model) error {
	ctx, cancel := context.WithTimeout(ctx, archiveTime)
	defer cancel()
	for {
		r, err := h.client.Run(ctx, run)
		if err == nil && r.Archived {
			m.Report, m.EndedAt = r.Report, r.EndedAt
			return nil
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the report of %s was not written within %s: %w", run, archiveTime, errors.Join(err, ctx.Err()))
		}
	}
}

// close ends the daemon. The shop ends with this program.
func (h *home) close() error {
	if h.client != nil {
		h.client.Close()
	}
	h.stop()
	if err := <-h.done; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("end the daemon: %w", err)
	}
	return nil
}
