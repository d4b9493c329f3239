package shoutrrr

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"serin.dev/serin/internal/guarded"
)

// ownHost are the services whose URL names a server of the user's choice as
// its host. In the others' URLs the host is a token or an account, and the
// service's own address is fixed in the library.
var ownHost = map[string]bool{
	"bark": true, "generic": true, "gotify": true, "matrix": true, "mattermost": true, "ntfy": true,
	"opsgenie": true, "pagerduty": true, "rocketchat": true, "signal": true, "smtp": true, "zulip": true,
}

// exchangeTimeout ends what a delivery that was given up still does.
const exchangeTimeout = 30 * time.Second

// checkHost refuses a server whose address Serin never asks. The library looks
// the name up again, so this does not hold against a name that changes.
func checkHost(ctx context.Context, u *url.URL) error {
	if !ownHost[service(u)] || u.Hostname() == "" {
		return nil
	}
	return guarded.CheckHost(ctx, u.Hostname())
}

// guard makes a service dial through the guarded transport, where the library
// lets it be set. The others use http.DefaultTransport, which whoever wires the
// program replaces by guarded.NewTransport, all but e-mail, which dials by
// itself and is only checked beforehand.
func guard(s types.Service) {
	options := guarded.Options{Timeout: exchangeTimeout, Proxy: true}
	transport := guarded.NewTransport(options)
	switch s := s.(type) {
	case *discord.Service:
		s.HTTPClient = guarded.NewClient(options)
	case *pagerduty.Service:
		s.SetHTTPClient(guarded.NewClient(options))
	case *rocketchat.Service:
		s.Client.Transport = transport
	case *pushover.Service:
		s.Client.Transport = transport
	case *mattermost.Service:
		replace(s.GetHTTPClient(), transport)
	case *gotify.Service:
		replace(s.GetHTTPClient(), transport)
	case *ntfy.Service:
		if !s.Config.DisableTLSVerification {
			s.SetHTTPClient(&http.Client{Transport: transport, Timeout: exchangeTimeout})
		}
	}
}

// replace keeps what the service wants of TLS.
func replace(client *http.Client, transport *http.Transport) {
	if client == nil {
		return
	}
	if before, ok := client.Transport.(*http.Transport); ok && before.TLSClientConfig != nil {
		transport.TLSClientConfig = before.TLSClientConfig.Clone()
	}
	client.Transport = transport
}
