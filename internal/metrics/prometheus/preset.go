package prometheus

import "slices"

// Preset names a program whose counters of requests are known.
type Preset string

// preset is what there is to know about such a program.
type preset struct {
	queries Queries
	// byInstance are series by instance where queries are the router's own and
	// know no instances; instanceLabel tells the instances apart.
	byInstance    Queries
	instanceLabel string
	// limit is the memory that a container may use.
	limit string
}

// presets is the list; each has a file of its own.
var presets = map[Preset]preset{
	"istio":            istio,
	"istioDestination": istioDestination,
	"traefik":          traefik,
	"envoyGateway":     envoyGateway,
	"otel":             otel,
}

// Choices implements rollout.Chooser.
func (Preset) Choices() []string {
	return []string{"istio", "istioDestination", "traefik", "envoyGateway", "otel"}
}

func (p Preset) known() bool { return p == "" || slices.Contains(p.Choices(), string(p)) }
