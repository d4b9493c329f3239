// Package shoutrrr tells people about runs through the services that the
// shoutrrr library knows by their URLs: Slack, Teams, Discord, e-mail,
// PagerDuty and many more. It knows messages, not runs.
package shoutrrr

import (
	"context"
	"errors"
	"log/slog"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/rollout"
)

// Config is where messages are sent.
type Config struct {
	// URL is a shoutrrr URL. It nearly always holds a credential, so it is given
	// by reference: {env: NAME} or {file: PATH}.
	URL credential.Value `json:"url" jsonschema:"required"`
}

// Env is what the notifier needs from the program.
type Env struct {
	// Log receives the messages of logger:// URLs.
	Log *slog.Logger
}

// NewConfig returns a Config with its defaults.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem { return nil }

// Notifier sends messages through one service.
type Notifier struct {
	cfg Config
	env Env
}

var _ notify.Notifier = (*Notifier)(nil)

// New returns the notifier; it connects to nothing yet.
func New(cfg Config, env Env) (*Notifier, error) { return &Notifier{cfg: cfg, env: env}, nil }

// Send implements notify.Notifier.
func (n *Notifier) Send(ctx context.Context, m notify.Message) error {
	return errors.New("not built yet")
}
