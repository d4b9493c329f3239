package shoutrrr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/format"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/specialized/generic"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/notify"
)

// maxLeft is how many deliveries may be under way, those that outlived their
// context among them; further ones wait.
const maxLeft = 4

// Env is what the notifier needs from the program.
type Env struct {
	// Log receives the messages of logger:// URLs; nil: slog.Default.
	Log *slog.Logger
}

// Notifier sends messages through one service.
type Notifier struct {
	cfg   Config
	log   *slog.Logger
	slots chan struct{}
}

var _ notify.Notifier = (*Notifier)(nil)

// New returns the notifier; it connects to nothing yet.
func New(cfg Config, env Env) (*Notifier, error) {
	if found := cfg.Validate(); len(found) > 0 {
		return nil, fmt.Errorf("shoutrrr: %s %s", found[0].Field, found[0].Message)
	}
	if env.Log == nil {
		env.Log = slog.Default()
	}
	return &Notifier{cfg: cfg, log: env.Log, slots: make(chan struct{}, maxLeft)}, nil
}

// Check says before a run whether the URL can be read and has the service's
// form. It asks no network.
func (n *Notifier) Check() error {
	u, scrubber, err := n.resolve()
	if err != nil || service(u) == matrix { // which logs in to read its URL
		return err
	}
	_, err = n.locate(u)
	return outcome(err, u, scrubber)
}

// Send implements notify.Notifier. A delivery that is still under way when ctx
// ends is reported as failed, and may still succeed: it is then told twice.
func (n *Notifier) Send(ctx context.Context, m notify.Message) error {
	u, scrubber, err := n.resolve()
	if err != nil {
		return err
	}
	if err := checkHost(ctx, u); err != nil {
		return outcome(err, u, scrubber)
	}
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("shoutrrr %s: %d earlier deliveries have not ended yet; is the service answering? %w", service(u), maxLeft, ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-n.slots }()
		done <- n.deliver(ctx, u, m)
	}()
	select {
	case err := <-done:
		return outcome(err, u, scrubber)
	case <-ctx.Done():
		return fmt.Errorf("shoutrrr %s: no answer in time: %w", service(u), ctx.Err())
	}
}

// resolve reads the URL now, and returns a scrubber that knows its parts.
func (n *Notifier) resolve() (*url.URL, credential.Scrubber, error) {
	secret, err := n.cfg.URL.Resolve()
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("shoutrrr: url: %w", err)
	}
	u, err := parse(secret.Reveal())
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("shoutrrr: url: %s %w: %w", n.cfg.URL, err, notify.ErrRejected)
	}
	secrets := []credential.Secret{}
	if n.cfg.URL.IsRef() {
		secrets = credential.PartsOfURL(secret)
		if !ownHost[service(u)] {
			secrets = append(secrets, credential.PartsOfURL(credential.NewSecret("//x/"+u.Hostname()))...)
		}
	}
	return u, credential.NewScrubber(secrets...), nil
}

// deliver makes the service anew for every message: making one may already ask
// the network, and sending changes it.
func (n *Notifier) deliver(ctx context.Context, u *url.URL, m notify.Message) (err error) {
	defer notPanicking(&err)
	s, err := n.locate(u)
	if err != nil {
		return err
	}
	if webhook, ok := s.(*generic.Service); ok {
		return post(ctx, webhook, m)
	}
	guard(s)
	params := paramsFor(s, m)
	return s.Send(text(m), &params)
}

// locate makes the service of a URL.
func (n *Notifier) locate(u *url.URL) (s types.Service, err error) {
	defer notPanicking(&err)
	var log types.StdLogger // nil: discarded, for services log what they send and where
	if service(u) == "logger" {
		log = lines{n.log}
	}
	services, err := router.New(log)
	if err != nil {
		return nil, err
	}
	if s, err = services.Locate(u.String()); err != nil {
		return nil, fmt.Errorf("%w: %w", errURL, err)
	}
	return s, nil
}

// notPanicking turns a panic into an error: the library must not end Serin,
// and what it panicked with may be a secret.
func notPanicking(err *error) {
	if recover() != nil {
		*err = errors.New("the library failed on this URL")
	}
}

// paramsFor gives a title to the services that have one; the others would
// refuse the message for it.
func paramsFor(s types.Service, m notify.Message) types.Params {
	params := types.Params{}
	config := format.GetServiceConfig(s)
	if config != nil && slices.Contains(format.GetConfigQueryResolver(config).QueryFields(), types.TitleKey) {
		params.SetTitle(title(m))
	}
	return params
}

func title(m notify.Message) string {
	return fmt.Sprintf("%s: %s", m.Rollout, m.Event)
}

func text(m notify.Message) string {
	parts := []string{m.Text}
	for _, more := range []string{m.Do, m.Link} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	return strings.Join(parts, "\n")
}

// lines lets the logger service write to the program's log.
type lines struct{ log *slog.Logger }

func (l lines) Print(args ...any)                 { l.log.Info(fmt.Sprint(args...)) }
func (l lines) Printf(format string, args ...any) { l.log.Info(fmt.Sprintf(format, args...)) }
func (l lines) Println(args ...any)               { l.log.Info(strings.TrimSpace(fmt.Sprintln(args...))) }
