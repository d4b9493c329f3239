package gatewayapi

import "testing"

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		field  string
		none   bool
	}{
		{name: "the least", config: Config{HTTPRoute: "shop"}, none: true},
		{name: "gRPC", config: Config{GRPCRoute: "shop", Namespace: "infra"}, none: true},
		{name: "no route", field: ""},
		{name: "two routes", config: Config{HTTPRoute: "a", GRPCRoute: "b"}, field: "grpcRoute"},
		{name: "a name that is none", config: Config{HTTPRoute: "My_App"}, field: "httpRoute"},
		{name: "one Service for both", config: Config{HTTPRoute: "shop", StableService: "a", CanaryService: "a"}, field: "canaryService"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := c.config.Validate()
			if c.none {
				if len(ps) > 0 {
					t.Errorf("problems %+v, want none", ps)
				}
				return
			}
			if len(ps) != 1 || ps[0].Field != c.field || ps[0].Message == "" || ps[0].Mend == "" {
				t.Errorf("problems %+v, want one about %q with its mend", ps, c.field)
			}
		})
	}
}
