package shoutrrr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/specialized/generic"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/notify"
)

// post delivers to a generic webhook. Its URL is the user's to choose and the
// library would ask it without any bound, so the library reads the URL and
// makes the payload, and the guarded client posts it.
func post(ctx context.Context, s *generic.Service, m notify.Message) error {
	config := s.Config
	params := types.Params{config.TitleKey: title(m), config.MessageKey: text(m)}
	payload, err := s.GetPayload(config, maps.Clone(params))
	if err != nil {
		return fmt.Errorf("%w: %w", errURL, err)
	}
	req, err := http.NewRequestWithContext(ctx, config.RequestMethod, config.WebhookURL().String(), payload)
	if err != nil {
		return fmt.Errorf("%w: %w", errURL, err)
	}
	contentType := config.ContentType
	if config.Template == "" {
		contentType = "text/plain"
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", contentType)
	for key, values := range config.GetURL().Query() {
		if name, ok := strings.CutPrefix(key, string(generic.HeaderPrefixChar)); ok && len(values) > 0 {
			req.Header.Set(name, values[0])
		}
	}
	resp, err := guarded.NewClient(guarded.Options{Timeout: exchangeTimeout, Proxy: true}).Do(req)
	if errors.Is(err, guarded.ErrRefused) {
		return err
	}
	if err != nil {
		return errors.New(guarded.Explain(ctx, err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // bounded; the receiver may finish in peace
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("answered with status %d", resp.StatusCode)
	}
	return nil
}
