package builtin

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic/proxy"
)

// Addresses are what rollouts listen on, each with whose it is. The zero value has
// none.
type Addresses struct{ taken []claim }

type claim struct {
	host, port    string
	rollout, file string
}

// Claim notes what a rollout in a file listens on, and says which of that a
// rollout before it listens on already: one program cannot serve both.
func (a *Addresses) Claim(file string, r rollout.Rollout) []rollout.Problem {
	if r.Spec.Traffic.Kind != "proxy" {
		return nil
	}
	var config proxy.Config
	if json.Unmarshal(r.Spec.Traffic.Config, &config) != nil {
		return nil // the parser has said what is wrong
	}
	var problems []rollout.Problem
	var own []claim
	for _, l := range []struct{ field, address string }{{"listen", config.Listen}, {"metricsListen", config.MetricsListen}} {
		host, port, err := net.SplitHostPort(l.address)
		if err != nil || port == "0" {
			continue
		}
		c := claim{host, port, r.Metadata.Name, file}
		for _, t := range a.taken {
			if t.port == c.port && (t.host == c.host || everywhere(t.host) || everywhere(c.host)) {
				problems = append(problems, rollout.Problem{
					Field:   "spec.traffic.proxy." + l.field,
					Message: fmt.Sprintf("%s is where %s listens too, in %s", l.address, t.rollout, t.file),
					Mend:    "choose another port for one of them",
				})
				break
			}
		}
		own = append(own, c)
	}
	a.taken = append(a.taken, own...)
	return problems
}

// everywhere reports that a host stands for all addresses of the machine.
func everywhere(host string) bool {
	return host == "" || strings.Trim(host, ":0.") == ""
}
