package builtin

import (
	"fmt"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// rulesOf are the rules between fields that an API server is given, by the
// definition they belong to. rollout.Parse has all of them, and more.
var rulesOf = map[string]func(*apiextv1.JSONSchemaProps){
	"rollout.Plan": func(s *apiextv1.JSONSchemaProps) {
		ruleAt(s, "phases", apiextv1.ValidationRule{
			Rule:    "self.map(p, p.weight).isSorted() && self.all(p, self.exists_one(q, q.weight == p.weight))",
			Message: "weights must rise from phase to phase, for example 5, 10, 25, 50, 100",
		})
	},
	"rollout.Analysis": func(s *apiextv1.JSONSchemaProps) { uniqueNames(s, "checks") },
	"rollout.Spec": func(s *apiextv1.JSONSchemaProps) {
		uniqueNames(s, "tests")
		uniqueNames(s, "hooks")
		uniqueNames(s, "notify")
	},
	"rollout.Check":    shortName,
	"rollout.Test":     shortName,
	"rollout.Hook":     shortName,
	"rollout.Notifier": shortName,
}

// RolloutNameRule is the rule for a CanaryRollout's name, which begins the
// names of runs and Services, and is a label's value.
var RolloutNameRule = apiextv1.ValidationRule{
	Rule:    "self.metadata.name.size() <= 56 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
	Message: "metadata.name: up to 56 lower-case letters, digits and hyphens, as Services and runs get it with a suffix",
}

// oneOf asks for one of several fields; with least 0 none is fine too. A null
// is no choice here, as kubectl drops nulls.
func oneOf(kinds []string, least int) apiextv1.ValidationRule {
	var has []string
	for _, k := range kinds {
		has = append(has, "has(self."+k+")")
	}
	count, compare, word := "["+strings.Join(has, ", ")+"].filter(x, x).size()", "==", "exactly"
	if least == 0 {
		compare, word = "<=", "at most"
	}
	return apiextv1.ValidationRule{Rule: fmt.Sprintf("%s %s 1", count, compare), Message: fmt.Sprintf("write %s one of: %s (with {} where no field is needed)", word, strings.Join(kinds, ", "))}
}

// pattern turns the two patterns that texts have into rules that say what to
// write; others stay patterns.
func (s *structural) pattern(out *apiextv1.JSONSchemaProps, pattern string) {
	rule := apiextv1.ValidationRule{Rule: fmt.Sprintf("self.matches(%q)", pattern)}
	switch pattern {
	case "":
		return
	case durationPattern:
		// No duration of a rollout is negative.
		rule.Rule = fmt.Sprintf("self.matches(%q)", strings.Replace(pattern, "[-+]?", "[+]?", 1))
		rule.Message = "write a duration such as 30m, 90s or 1h30m"
	case percentPattern:
		rule.Message = "write a percentage such as 10%"
	default:
		out.Pattern = pattern
		return
	}
	out.MaxLength = new(int64(64))
	out.XValidations = append(out.XValidations, rule)
}

func ruleAt(s *apiextv1.JSONSchemaProps, field string, rule apiextv1.ValidationRule) {
	property := s.Properties[field]
	property.XValidations = append(property.XValidations, rule)
	s.Properties[field] = property
}

// uniqueNames asks for a name of its own for every element that has one.
func uniqueNames(s *apiextv1.JSONSchemaProps, field string) {
	ruleAt(s, field, apiextv1.ValidationRule{
		Rule:    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",
		Message: "two of them have the same name; give each its own",
	})
}

func shortName(s *apiextv1.JSONSchemaProps) {
	name := s.Properties["name"]
	name.MaxLength = new(int64(63))
	s.Properties["name"] = name
}
