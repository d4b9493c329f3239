package builtin_test

import (
	"fmt"
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
)

func TestTwoRolloutsCannotListenOnOneAddress(t *testing.T) {
	for _, c := range []struct {
		first, second string // under traffic.proxy
		field         string // of what the second cannot have, empty: nothing
	}{
		{"listen: 127.0.0.1:8000", "listen: 127.0.0.1:8001", ""},
		{"listen: 127.0.0.1:8000", "listen: 127.0.0.2:8000", ""},
		{"listen: 127.0.0.1:0", "listen: 127.0.0.1:0", ""},
		{"listen: 127.0.0.1:8000", "listen: 127.0.0.1:8000", "listen"},
		{"listen: 127.0.0.1:8080", "", "listen"}, // the default
		{"listen: 127.0.0.1:8000", `listen: ":8000"`, "listen"},
		{`listen: "[::]:8000"`, "listen: 127.0.0.1:8000", "listen"},
		{"listen: 0.0.0.0:8000", "listen: 10.0.0.1:8000", "listen"},
		{"listen: 127.0.0.1:8000", "listen: 127.0.0.1:8001, metricsListen: 127.0.0.1:8000", "metricsListen"},
	} {
		var a builtin.Addresses
		var found []rollout.Problem
		for i, proxy := range []string{c.first, c.second} {
			text := fmt.Sprintf("apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: shop%d}\nspec:\n"+
				"  workload: {process: {stable: {version: v1, command: [a]}}}\n  traffic: {proxy: {%s}}\n", i, proxy)
			r, _, err := rollout.ParseAll("shop.yaml", []byte(text), builtin.Catalog())
			if err != nil {
				t.Fatal(err)
			}
			found = a.Claim(fmt.Sprintf("shop%d.yaml", i), *r[0])
			if i == 0 && len(found) > 0 {
				t.Errorf("%s is refused without another: %v", c.first, found)
			}
		}
		switch {
		case c.field == "" && len(found) > 0:
			t.Errorf("%s beside %s is refused: %v", c.second, c.first, found)
		case c.field != "" && (len(found) != 1 || found[0].Field != "spec.traffic.proxy."+c.field || !strings.Contains(found[0].Message, "shop0 listens too, in shop0.yaml")):
			t.Errorf("%s beside %s: %v, want %s refused with whose the address is", c.second, c.first, found, c.field)
		}
	}
}
