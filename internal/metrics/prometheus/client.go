package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
)

const (
	defaultTimeout = 5 * time.Second
	// maxBody bounds one answer in bytes, maxSeries in series.
	maxBody   = 16 << 20
	maxSeries = 10_000
)

// client asks one Prometheus. Questions are only read, and the next tick asks
// again for what was not answered, so nothing is asked twice in a tick.
type client struct {
	api      v1.API
	scrubber credential.Scrubber
	timeout  time.Duration
	limit    int
	// at is the time as of which everything is asked; zero: as of now, by the
	// clock of Prometheus.
	at time.Time
}

// newClient reads the secrets anew, so that renewed ones are used.
func newClient(cfg Config, http *http.Client) (*client, error) {
	target := guarded.Target{URL: cfg.URL, Headers: cfg.Headers}
	var token credential.Secret
	if !cfg.Token.IsZero() {
		var err error
		if token, err = cfg.Token.Resolve(); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		if !validHeaderValue(token.Reveal()) {
			return nil, fmt.Errorf("token: %s holds what a header cannot; put the token alone there, on one line", cfg.Token)
		}
	}
	// The request itself is not sent: it brings the address, the headers, and
	// what must not be shown.
	like, scrubber, err := target.Request(context.Background(), "GET", nil, token)
	if err != nil {
		return nil, err
	}
	if !token.IsZero() {
		like.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	c, err := api.NewClient(api.Config{Address: like.URL.String(), Client: withHeaders(http, like)})
	if err != nil {
		return nil, fmt.Errorf("url: %s", scrubber.Scrub(err.Error()))
	}
	timeout := time.Duration(cfg.Timeout)
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &client{api: v1.NewAPI(c), scrubber: scrubber, timeout: timeout, limit: maxSeries}, nil
}

// withHeaders returns a client that sends the headers of like along.
func withHeaders(client *http.Client, like *http.Request) *http.Client {
	with := *client
	with.Transport = headed{next: client.Transport, like: like}
	return &with
}

type headed struct {
	next http.RoundTripper
	like *http.Request
}

func (h headed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	for name, values := range h.like.Header {
		req.Header[name] = values
	}
	if h.like.Host != "" {
		req.Host = h.like.Host
	}
	return h.next.RoundTrip(req)
}

// raw reads the samples of a selector within the window that ends now, by the
// clock of Prometheus.
func (c *client) raw(ctx context.Context, selector string, window time.Duration) (model.Matrix, error) {
	seconds := int64(max(window, time.Second)+time.Second-1) / int64(time.Second)
	value, err := c.ask(ctx, fmt.Sprintf("%s[%ds]", selector, seconds))
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s, not samples; is this address a Prometheus?", value.Type())
	}
	if len(matrix) > c.limit {
		return nil, fmt.Errorf("the answer has %d series, more than %d; narrow it by further labels", len(matrix), c.limit)
	}
	return matrix, nil
}

// now evaluates an expression.
func (c *client) now(ctx context.Context, expression string) (model.Vector, error) {
	value, err := c.ask(ctx, expression)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s, not series; is this address a Prometheus?", value.Type())
	}
	return vector, nil
}

func (c *client) ask(ctx context.Context, expression string) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	value, warnings, _, err := c.api.Query(ctx, expression, c.at, v1.WithTimeout(c.timeout))
	switch {
	case errors.Is(err, guarded.ErrTooLarge):
		return nil, fmt.Errorf("the answer has more than %d MiB; narrow it by further labels", maxBody>>20)
	case err != nil:
		return nil, errors.New(c.scrubber.Scrub(guarded.Explain(ctx, err)))
	case len(warnings) > 0:
		return nil, fmt.Errorf("the answer is not complete: %s", c.scrubber.Scrub(warnings[0]))
	case value == nil:
		return nil, errors.New("the answer is empty; is this address a Prometheus?")
	}
	return value, nil
}
