package command

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/rollout"
)

// variable is one thing a program is told, as $(NAME) in its arguments and as
// SERIN_NAME in its environment.
type variable struct {
	name string
	of   func(gate.Call) string
}

func variables() []variable {
	return []variable{
		{"CANARY_URL", func(c gate.Call) string { return firstURL(c.Canary) }},
		{"STABLE_URL", func(c gate.Call) string { return firstURL(c.Stable) }},
		{"VERSION", func(c gate.Call) string { return c.CanaryVersion }},
		{"STABLE_VERSION", func(c gate.Call) string { return c.StableVersion }},
		{"WEIGHT", func(c gate.Call) string { return strconv.Itoa(c.Weight) }},
		{"PHASE", func(c gate.Call) string { return strconv.Itoa(c.Phase) }},
		{"RUN", func(c gate.Call) string { return c.Run }},
		{"ROLLOUT", func(c gate.Call) string { return c.Rollout }},
	}
}

func placeholders() []string {
	var names []string
	for _, v := range variables() {
		names = append(names, v.name)
	}
	return names
}

// passedOn are the variables of Serin's own environment that a program gets:
// what programs need to work at all. Serin's environment holds secrets of
// others, so all else has to be named in the configuration.
var passedOn = [...]string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// maxReason bounds the reason, which quotes others and goes into an
// environment of limited size.
const maxReason = 4 << 10

// environment returns what the program sees besides its configured variables.
func environment(c gate.Call) []string {
	var env []string
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, v := range variables() {
		env = append(env, "SERIN_"+v.name+"="+v.of(c))
	}
	reason := c.Reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return append(env,
		"SERIN_CANARY_URLS="+strings.Join(urls(c.Canary), " "),
		"SERIN_STABLE_URLS="+strings.Join(urls(c.Stable), " "),
		"SERIN_KEY="+c.Key,
		"SERIN_NAME="+c.Name,
		"SERIN_POINT="+string(c.Point),
		"SERIN_REASON="+reason,
	)
}

// expand replaces the placeholders in argv. One that stands for an address
// that does not exist here is an error: the program would test something else.
func expand(argv []string, c gate.Call) ([]string, error) {
	values := map[string]string{}
	for _, v := range variables() {
		values[v.name] = v.of(c)
	}
	expanded := make([]string, len(argv))
	var err error
	for i, arg := range argv {
		expanded[i] = placeholder.ReplaceAllStringFunc(arg, func(match string) string {
			name := strings.TrimSuffix(strings.TrimPrefix(match, "$("), ")")
			value, known := values[name]
			switch {
			case !known:
				return match
			case value == "" && strings.HasSuffix(name, "_URL"):
				err = fmt.Errorf("%s has no value here: no instance of that version has an address that can be asked directly", match)
			}
			return value
		})
	}
	return expanded, err
}

// firstURL is the address of the first ready instance, or of the first one.
func firstURL(instances []rollout.Instance) string {
	for _, i := range instances {
		if i.Ready && i.URL != "" {
			return i.URL
		}
	}
	if all := urls(instances); len(all) > 0 {
		return all[0]
	}
	return ""
}

func urls(instances []rollout.Instance) []string {
	var list []string
	for _, i := range instances {
		if i.URL != "" {
			list = append(list, i.URL)
		}
	}
	return list
}
