package istio

import "testing"

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		field  string
		none   bool
	}{
		{name: "the least", config: Config{VirtualService: "shop"}, none: true},
		{name: "subsets", config: Config{VirtualService: "shop", DestinationRule: "shop", Subsets: Subsets{Stable: "v1", Canary: "v2"}}, none: true},
		{name: "no VirtualService", field: "virtualService"},
		{name: "a name that is none", config: Config{VirtualService: "My_App"}, field: "virtualService"},
		{name: "one Service for both", config: Config{VirtualService: "shop", StableService: "a", CanaryService: "a"}, field: "canaryService"},
		{name: "one subset for both", config: Config{VirtualService: "shop", DestinationRule: "shop", Subsets: Subsets{Stable: "a", Canary: "a"}}, field: "subsets.canary"},
		{name: "no subset for an arm", config: Config{VirtualService: "shop", DestinationRule: "shop", Subsets: Subsets{Stable: "a"}}, field: "subsets"},
		{name: "Services beside subsets", config: Config{VirtualService: "shop", DestinationRule: "shop", Service: "a", Subsets: Subsets{Stable: "a", Canary: "b"}}, field: "service"},
		{name: "a route without a name", config: Config{VirtualService: "shop", Routes: []string{""}}, field: "routes[0]"},
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
