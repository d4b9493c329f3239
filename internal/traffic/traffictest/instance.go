package traffictest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Headers of the answers of an Instance.
const (
	armHeader      = "X-Test-Arm"
	instanceHeader = "X-Test-Instance"
)

// Instances is a set of servers that say who they are, for routers that can
// reach this process.
type Instances struct {
	Stable, Canary, Baseline []rollout.Instance

	mu      sync.Mutex
	arrived chan string   // the instance that holds a request
	release chan struct{} // closed to let it answer
}

// Start starts two instances of each arm, and of a baseline.
func Start(t *testing.T) *Instances {
	t.Helper()
	s := &Instances{}
	for n := range 2 {
		s.Stable = append(s.Stable, s.start(t, rollout.Stable, n))
		s.Canary = append(s.Canary, s.start(t, rollout.Canary, n))
		s.Baseline = append(s.Baseline, s.start(t, rollout.Baseline, n))
	}
	return s
}

func (s *Instances) start(t *testing.T, arm rollout.Arm, n int) rollout.Instance {
	name := fmt.Sprintf("shop-%s-%d", arm, n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(armHeader, string(arm))
		w.Header().Set(instanceHeader, name)
		if r.URL.Path == "/hold" {
			s.mu.Lock()
			arrived, release := s.arrived, s.release
			s.mu.Unlock()
			arrived <- name
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(server.Close)
	return rollout.Instance{Name: name, URL: server.URL, Ready: true}
}

// Send returns a Harness.Send for the users' address that address returns.
func Send(t *testing.T, address func() string) func() (rollout.Arm, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return func() (rollout.Arm, error) { return ask(context.Background(), client, address()+"/", nil) }
}

// SendAs returns a Harness.SendAs for the users' address that address returns:
// testers carry the arm's name in a header.
func SendAs(address func() string, header string) func(rollout.Arm) (rollout.Arm, error) {
	return func(arm rollout.Arm) (rollout.Arm, error) {
		return ask(context.Background(), http.DefaultClient, address()+"/", http.Header{header: {string(arm)}})
	}
}

func ask(ctx context.Context, client *http.Client, url string, headers http.Header) (rollout.Arm, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	maps.Copy(req.Header, headers)
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s: %s", res.Status, body)
	}
	return rollout.Arm(res.Header.Get(armHeader)), nil
}

// Hold returns a Harness.Hold for the users' address that address returns.
func (s *Instances) Hold(address func() string) func(t *testing.T) *Held {
	return func(t *testing.T) *Held {
		t.Helper()
		arrived, release := make(chan string, 1), make(chan struct{})
		s.mu.Lock()
		s.arrived, s.release = arrived, release
		s.mu.Unlock()
		type answer struct {
			arm rollout.Arm
			err error
		}
		answers := make(chan answer, 1)
		go func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
			arm, err := ask(context.Background(), client, address()+"/hold", nil)
			answers <- answer{arm, err}
		}()
		h := &Held{Release: func() (rollout.Arm, error) {
			close(release)
			a := <-answers
			return a.arm, a.err
		}}
		select {
		case h.Instance = <-arrived:
		case a := <-answers:
			t.Fatalf("the request to be held was answered: %s, %v", a.arm, a.err)
		case <-time.After(30 * time.Second):
			t.Fatal("the request to be held did not arrive")
		}
		return h
	}
}
