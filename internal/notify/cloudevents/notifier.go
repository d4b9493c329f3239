package cloudevents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/notify"
)

const (
	// timeout bounds a delivery whose context has no end.
	timeout = 30 * time.Second
	// maxBody is how much of an answer is read: enough to say why it refused.
	maxBody = 4 << 10
	// maxReason is how much of that is shown.
	maxReason = 200
)

// Notifier posts events.
type Notifier struct {
	cfg    Config
	client *http.Client
}

var _ notify.Notifier = (*Notifier)(nil)

// New returns the notifier; it connects to nothing yet.
func New(cfg Config) (*Notifier, error) {
	if found := cfg.Validate(); len(found) > 0 {
		return nil, fmt.Errorf("cloudevents: %s %s", found[0].Field, found[0].Message)
	}
	// A redirect is a refusal: the receiver's address is to be written as it is.
	client := guarded.NewClient(guarded.Options{Timeout: timeout, MaxBody: maxBody, Proxy: true})
	return &Notifier{cfg: cfg, client: client}, nil
}

// Check says before a run whether the secrets can be read.
func (n *Notifier) Check() error {
	if _, err := n.key(); err != nil {
		return err
	}
	return n.cfg.target().Check()
}

// Send implements notify.Notifier.
func (n *Notifier) Send(ctx context.Context, m notify.Message) error {
	req, scrubber, err := n.request(ctx, m)
	if err != nil {
		return fmt.Errorf("cloudevents: %w", err)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		reason := scrubber.Scrub(guarded.Explain(ctx, err))
		if errors.Is(err, guarded.ErrRefused) {
			return fmt.Errorf("cloudevents: %s: %w", reason, notify.ErrRejected)
		}
		return fmt.Errorf("cloudevents: %s", reason)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	reason := fmt.Sprintf("answered %d", resp.StatusCode)
	if words := excerpt(resp.Body, scrubber); words != "" {
		reason += ": " + words
	}
	if temporary(resp.StatusCode) {
		return fmt.Errorf("cloudevents: %s", reason)
	}
	return fmt.Errorf("cloudevents: %s: %w", reason, notify.ErrRejected)
}

func (n *Notifier) request(ctx context.Context, m notify.Message) (*http.Request, credential.Scrubber, error) {
	e, err := eventOf(m)
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("%w: %w", err, notify.ErrRejected)
	}
	header, body, err := encode(ctx, e, n.cfg.Mode)
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("%w: %w", err, notify.ErrRejected)
	}
	key, err := n.key()
	if err != nil {
		return nil, credential.Scrubber{}, err
	}
	req, scrubber, err := n.cfg.target().Request(ctx, http.MethodPost, body, key)
	if err != nil {
		return nil, credential.Scrubber{}, err
	}
	maps.Copy(req.Header, header)
	if !key.IsZero() {
		req.Header.Set(credential.SignatureHeader, credential.Sign(key, time.Now(), body))
	}
	return req, scrubber, nil
}

// key returns the secret that events are signed with; zero for none.
func (n *Notifier) key() (credential.Secret, error) {
	if n.cfg.HMAC == nil {
		return credential.Secret{}, nil
	}
	secret, err := n.cfg.HMAC.Secret.Resolve()
	if err != nil {
		return credential.Secret{}, fmt.Errorf("hmac: %w", err)
	}
	return secret, nil
}

// temporary reports whether the same request may be taken later.
func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// excerpt is the beginning of an answer in one line. What may be half a secret
// at its end is not shown.
func excerpt(r io.Reader, scrubber credential.Scrubber) string {
	data, _ := io.ReadAll(r) // as much as came is shown
	text := scrubber.Scrub(string(data))
	if len(data) >= maxBody {
		text = text[:max(len(text)-scrubber.Longest(), 0)]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
