package shoutrrr

import (
	"testing"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/rollout"
)

// A service without a title refuses the whole message when it is given one.
func TestOnlyServicesWithATitleGetOne(t *testing.T) {
	for url, want := range map[string]bool{
		"slack://hook:T00000000-B00000000-abcdefghijklmnopqrstuvwx@webhook":   true,
		"discord://tokentoken@1234567890":                                     true,
		"smtp://mail.shop.test/?from=a@b.test&to=c@b.test":                    true,
		"generic://shop.test/hook":                                            true,
		"ntfy://shop.test/topic":                                              true,
		"pagerduty:///0123456789abcdef0123456789abcdef":                       false,
		"rocketchat://chat.shop.test/tokenA/tokenB/town":                      false,
		"googlechat://chat.googleapis.com/v1/spaces/S/messages?key=k&token=t": false,
	} {
		services, err := router.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := services.Locate(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		params := paramsFor(s, notify.Message{Rollout: "shop", Event: rollout.Started})
		if title, got := params.Title(); got != want || got && title != "shop: started" {
			t.Errorf("%s: given the title %q: %v, want %v", url, title, got, want)
		}
	}
}
