package simulate

import (
	"time"

	"serin.dev/serin/internal/rollout"
)

// Library is the scenarios that every plan can be tried on, healthy ones first.
func Library() []Scenario {
	minutes := func(n int) rollout.Duration { return rollout.Duration(time.Duration(n) * time.Minute) }
	bad := func(name, description string, faults ...Fault) Scenario {
		return Scenario{Name: name, Description: description, Faults: faults}
	}
	return []Scenario{
		{Name: "healthy", Description: "the new version is as good as stable"},
		{Name: "better", Description: "half of stable's errors, 10 % faster", Expect: Promote, Faults: []Fault{{Errors: 0.5, ResponseTime: 0.9}}},
		{Name: "healthy-clumps", Description: "as good; errors come in clumps of 5", Clumps: 5},
		{Name: "healthy-day", Description: "as good; the load swings by 60 %", Daily: 0.6},
		{Name: "healthy-instances", Description: "as good; instances differ by 5 %", InstanceSpread: 0.05, Traffic: Change{Instances: 20}},
		{Name: "healthy-wander", Description: "as good; its response times wander by 3 %", Wander: 0.03},
		{Name: "shared-incident", Description: "as good; a shared backend has incidents of 20 times the errors", Incidents: &Incidents{Every: minutes(20), Lasts: minutes(1), Errors: 20}},
		{Name: "gap", Description: "as good; all figures are missing for a minute", Expect: Promote, Faults: []Fault{{After: minutes(10), Lasts: minutes(1), NoFigures: MissingBoth}}},
		{Name: "cold-start", Description: "40 % slower at first, healed within 5 minutes", Faults: []Fault{{ResponseTime: 1.4, Lasts: minutes(5), Fades: true}}},

		bad("errors-1.2x", "1.2 times stable's errors", Fault{Errors: 1.2}),
		bad("errors-1.5x", "1.5 times stable's errors", Fault{Errors: 1.5}),
		bad("errors-2.5x", "2.5 times stable's errors", Fault{Errors: 2.5}),
		bad("errors-5x", "5 times stable's errors", Fault{Errors: 5}),
		bad("errors-10x", "10 times stable's errors", Fault{Errors: 10}),
		bad("errors-late", "5 times stable's errors from minute 40 on", Fault{Errors: 5, After: minutes(40)}),
		bad("errors-at-25", "5 times stable's errors, only from 25 % of the traffic on", Fault{Errors: 5, FromWeight: 25}),
		bad("slow-20", "20 % slower", Fault{ResponseTime: 1.2}),
		bad("slow-50", "50 % slower", Fault{ResponseTime: 1.5}),
		bad("slow-tail", "the slowest twentieth takes twice as long", Fault{Slowest: 2}),
		bad("slow-late", "50 % slower from minute 40 on", Fault{ResponseTime: 1.5, After: minutes(40)}),
		bad("slow-and-errors", "2.5 times stable's errors and 20 % slower", Fault{Errors: 2.5, ResponseTime: 1.2}),
		bad("crash-loop", "its instances end by themselves every 2 minutes", Fault{CrashEvery: minutes(2)}),
		bad("gone", "its figures vanish after 10 minutes", Fault{After: minutes(10), NoFigures: MissingCanary}),
		bad("blind", "all figures vanish after 10 minutes", Fault{After: minutes(10), NoFigures: MissingBoth}),
		bad("exceptions", "a new exception in 1 of 1,000 requests", Fault{Exceptions: 1}),
		{Name: "critical", Description: "a critical exception in 1 of 100,000 requests: the first one waits for a person", Expect: Either, Faults: []Fault{{Exceptions: 0.01, Critical: true}}},
		bad("cpu-50", "50 % more processor time", Fault{CPU: 1.5}),
		bad("memory-50", "50 % more memory", Fault{Memory: 1.5}),
		bad("leak", "its memory doubles in an hour", Fault{Leak: 1}),
		bad("conversion-10", "10 % fewer users convert", Fault{Conversion: 0.9}),
		bad("complaints-3x", "3 times stable's complaints", Fault{Complaints: 3}),
	}
}

// Find returns the scenario of the library with a name.
func Find(name string) (Scenario, bool) {
	for _, s := range Library() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
