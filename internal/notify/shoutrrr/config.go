// Package shoutrrr tells people about runs through the services that the
// shoutrrr library knows by their URLs: Slack, Teams, Discord, e-mail,
// PagerDuty and many more. It knows messages, not runs.
//
// The library takes no context and most of its services make their own HTTP
// client, so a delivery that outlives its context is left behind, bounded in
// number (see maxLeft). What its services dial is guarded as far as they let
// it: see the file guard.go.
package shoutrrr

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// Config is where messages are sent.
type Config struct {
	// URL is a shoutrrr URL. It nearly always holds a credential, so it is given
	// by reference: {env: NAME} or {file: PATH}.
	URL credential.Value `json:"url" jsonschema:"required"`
}

// NewConfig returns a Config with its defaults.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator. It looks at no reference's value.
func (c Config) Validate() []rollout.Problem {
	if c.URL.IsRef() {
		return c.URL.Problems("url")
	}
	problem := func(message, mend string) []rollout.Problem {
		return []rollout.Problem{{Field: "url", Message: message, Mend: mend}}
	}
	u, err := parse(c.URL.Text)
	switch {
	case c.URL.Text == "":
		return problem("is missing", "put a shoutrrr URL into an environment variable and write url: {env: NAME}")
	case err != nil:
		return problem(err.Error(), "see https://shoutrrr.nickfedor.com/services/overview/ for the form of each service's URL")
	case !harmless(u):
		return problem("holds a credential in the file",
			"put the whole URL elsewhere and write url: {env: "+strings.ToUpper(service(u))+"_URL} or url: {file: PATH}")
	}
	return nil
}

// parse accepts the URL of a service that the library has. Its errors do not
// repeat the URL.
func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("is not a URL")
	}
	if !slices.Contains((&router.ServiceRouter{}).ListServices(), service(u)) {
		return nil, errors.New("does not begin with a service that is known, such as slack:// or smtp://")
	}
	return u, nil
}

// service is the service's name: generic of generic+https://….
func service(u *url.URL) string {
	name, _, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	return name
}

// harmless reports whether a URL certainly holds no credential. For most
// services the URL itself is one.
func harmless(u *url.URL) bool {
	if u.User != nil || credential.InURL(u) {
		return false
	}
	switch service(u) {
	case "logger", "smtp":
		return true
	case "generic":
		return isLoopback(u.Hostname())
	}
	return false
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
