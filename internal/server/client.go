package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Bounds of a client.
const (
	dialTime = 5 * time.Second
	// callTime bounds a call and the reading of its answer.
	callTime  = maxWait + stepTime
	maxAnswer = 256 << 20
)

// Client speaks to the API.
type Client struct {
	http *http.Client
}

// NewClient returns a client over a transport.
func NewClient(t http.RoundTripper) *Client { return &Client{http: &http.Client{Transport: t}} }

// ErrNobody is wrapped when no program listens at a socket.
var ErrNobody = errors.New("nobody listens")

// Dial returns a client of the program that listens at a socket; the error
// wraps ErrNobody when none does.
func Dial(ctx context.Context, socket string) (*Client, error) {
	connect := func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		return dial(ctx, socket)
	}
	c, err := connect(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: %w", socket, ErrNobody)
	case err != nil:
		return nil, fmt.Errorf("connect to %s: %w", socket, err)
	}
	c.Close()
	return NewClient(&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx) },
		// The API answers at the latest when its longest wait is over.
		ResponseHeaderTimeout: callTime,
		MaxIdleConns:          2,
		IdleConnTimeout:       time.Minute,
	}), nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Rollouts lists the rollouts.
func (c *Client) Rollouts(ctx context.Context) ([]Rollout, error) {
	var out list[Rollout]
	err := c.call(ctx, http.MethodGet, "/v1/rollouts", nil, nil, &out)
	return out.Items, err
}

// Rollout says how a rollout is.
func (c *Client) Rollout(ctx context.Context, name string) (Rollout, error) {
	var out Rollout
	err := c.call(ctx, http.MethodGet, "/v1/rollouts/"+url.PathEscape(name), nil, nil, &out)
	return out, err
}

// Release starts a run.
func (c *Client) Release(ctx context.Context, name string, r ReleaseRequest) (Run, error) {
	var out Run
	err := c.call(ctx, http.MethodPost, "/v1/rollouts/"+url.PathEscape(name)+"/runs", nil, r, &out)
	return out, err
}

// Runs lists runs, the newest first, of one rollout or of all.
func (c *Client) Runs(ctx context.Context, rollout string, limit int) ([]Run, error) {
	q := url.Values{}
	if rollout != "" {
		q.Set("rollout", rollout)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(min(limit, maxRuns)))
	}
	var out list[Run]
	err := c.call(ctx, http.MethodGet, "/v1/runs", q, nil, &out)
	return out.Items, err
}

// Run returns a run.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	var out Run
	err := c.call(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id), nil, nil, &out)
	return out, err
}

// Events waits for news of a run; see Events.
func (c *Client) Events(ctx context.Context, id string, after int, wait time.Duration) (Events, error) {
	q := url.Values{"after": {strconv.Itoa(after)}, "wait": {strconv.Itoa(int(min(wait, maxWait) / time.Second))}}
	var out Events
	err := c.call(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/events", q, nil, &out)
	return out, err
}

// Ask puts an intent to a run and returns what became of it.
func (c *Client) Ask(ctx context.Context, id string, i IntentRequest) (IntentAnswer, error) {
	var out IntentAnswer
	err := c.call(ctx, http.MethodPost, "/v1/runs/"+url.PathEscape(id)+"/intents", nil, i, &out)
	return out, err
}

// Record returns the run's record; the caller closes it.
func (c *Client) Record(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/record", nil, nil)
}

// Report returns the report of a run, "md" or "html"; the caller closes it.
func (c *Client) Report(ctx context.Context, id, format string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/report", url.Values{"format": {format}}, nil)
}

// Logs returns the logs of an arm's instances; the caller closes them.
func (c *Client) Logs(ctx context.Context, name string, arm rollout.Arm, follow bool) (io.ReadCloser, error) {
	q := url.Values{"arm": {string(arm)}, "follow": {strconv.FormatBool(follow)}}
	return c.open(ctx, http.MethodGet, "/v1/rollouts/"+url.PathEscape(name)+"/logs", q, nil)
}

// ArchivedLogs returns the archived logs of a run; the caller closes them.
func (c *Client) ArchivedLogs(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/logs", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := c.open(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// open makes a request and returns the body of a good answer; any other answer
// is an error that wraps the *Problem it carried.
func (c *Client) open(ctx context.Context, method, path string, query url.Values, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://serin"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, */*")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask serin: %w", errors.Join(err, context.Cause(ctx)))
	}
	if answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, problemIn(answer)
}

func problemIn(answer *http.Response) error {
	var p Problem
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxBody)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("serin answered %d %s and did not say why", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	return &p
}
