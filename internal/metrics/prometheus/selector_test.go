package prometheus

import (
	"strings"
	"testing"
)

func TestSelectorsAreRenderedFromTheirParts(t *testing.T) {
	values := map[string]string{
		"arm": "canary", "version": `v2"}) or vector(1) #`, "namespace": "shop", "service": "shop.canary", "workload": "a\\b\nc",
		pods: podPattern([]string{"shop-7d9f", "shop.x-55"}),
	}
	for text, want := range map[string]string{
		`up`:                       `up{}`,
		` up { } `:                 `up{}`,
		`a:b_total{x="1",y!='2',}`: `a:b_total{x="1",y!="2"}`,
		`m{v="$(version)"}`:        `m{v="v2\"}) or vector(1) #"}`,
		`m{v=~"$(version)"}`:       `m{v=~"v2\"\\}\\) or vector\\(1\\) #"}`,
		"m{v=`a\\d$(arm)`}":        `m{v="a\\dcanary"}`,
		`m{s="$(service)",t=~"$(service)-[0-9]+"}`: `m{s="shop.canary",t=~"shop\\.canary-[0-9]+"}`,
		`m{w="$(workload)",x!~"$(workload)"}`:      `m{w="a\\b\nc",x!~"a\\\\b\nc"}`,
		`m{pod=~"$(pods)",a="é\x41\u00e9"}`:        `m{pod=~"(?:shop-7d9f|shop\\.x-55)-[^-]+",a="éAé"}`,
		`m{a="costs 5$"}`:                          `m{a="costs 5$"}`,
	} {
		s, err := parseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s.render(values); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestWhatIsNoSelectorIsRefusedWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		``:                           "does not begin with the name of a metric",
		`{job="a"}`:                  "does not begin with the name of a metric",
		`sum(rate(a_total[1m]))`:     "computes increments itself",
		`a_total[5m]`:                "computes increments itself",
		`a_total{b="c"} or d`:        "goes on after }",
		`a_total{b="c"}[5m]`:         "goes on after }",
		`a_total{b="c"`:              "comma or }",
		`a_total{b="c" d="e"}`:       "comma or }",
		`a_total{b=c}`:               "no text in quotes after b=",
		`a_total{b="c}`:              "no text in quotes",
		`a_total{b}`:                 "no =, !=",
		`a_total{"b"="c"}`:           "where a label belongs",
		`a_total{__name__="c"}`:      "__name__",
		`a_total{b="$(nope)"}`:       "$(nope) is not known; there are $(arm)",
		`a_total{b="$(arm"}`:         "begins no variable",
		`a_total{b="$(pods)"}`:       "b=~",
		`a_total{b=~"("}`:            "not a regular expression",
		`a_total{b="c",} drop table`: "goes on after }",
		`a_total $(arm)`:             "is not a series selector",
	} {
		if _, err := parseSelector(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something about %q", text, err, want)
		}
	}
}

func TestEveryPresetIsMadeOfSelectors(t *testing.T) {
	for _, name := range Preset("").Choices() {
		from := presets[Preset(name)]
		p, wrong := newPlan(Config{Preset: Preset(name)}, true)
		if len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
		if len(p.counts) != 3 || len(p.usage) != 3 {
			t.Errorf("%s has %d traffic and %d usage queries, want 3 and 3", name, len(p.counts), len(p.usage))
		}
		if len(from.byInstance.Requests) > 0 != (len(p.byInstance) == 3) {
			t.Errorf("%s: %d queries by instance", name, len(p.byInstance))
		}
	}
}

// A variable that breaks out of its quotes would ask for something else.
func FuzzAVariableStaysInItsMatcher(f *testing.F) {
	f.Add(`"} or vector(1)`, "(?:")
	f.Add("\xff\\", "\n`'")
	f.Fuzz(func(t *testing.T, version, service string) {
		s, err := parseSelector(`m{a="x$(version)y",b=~"$(service).*",c!='$(version)'}`)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseSelector(s.render(map[string]string{"version": strings.ReplaceAll(version, "$(", ""), "service": strings.ReplaceAll(service, "$(", "")}))
		if err != nil || len(again.matchers) != 3 || again.name != "m" {
			t.Fatalf("%q, %q: %v, %+v", version, service, err, again)
		}
	})
}
