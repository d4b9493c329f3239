// Package command is the gate that is a program: it starts one, and the
// program's exit status is the answer. It must not know what the answer means
// for the run.
package command

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// Config is a program to start, as a test or as a hook. Exit status 0 means
// passed.
type Config struct {
	// Argv is the program and its arguments; no shell is involved. $(CANARY_URL),
	// $(STABLE_URL), $(VERSION), $(STABLE_VERSION), $(WEIGHT), $(PHASE), $(RUN)
	// and $(ROLLOUT) are replaced.
	Argv []string `json:"argv" jsonschema:"required,example=[./smoke]"`
	// Env is added to the program's environment; a secret is given by reference:
	// {env: NAME} or {file: PATH}.
	Env map[string]credential.Value `json:"env,omitempty"`
	// Dir is the folder the program starts in; default: the one Serin was
	// started in.
	Dir string `json:"dir,omitempty"`
}

// NewConfig returns a Config with its defaults.
func NewConfig() any { return &Config{} }

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	placeholder  = regexp.MustCompile(`\$\(([A-Z][A-Z0-9_]*)\)`)
)

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem {
	var found []rollout.Problem
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		found = append(found, rollout.Problem{Field: "argv", Message: "names no program", Mend: "write the program and its arguments, such as [./smoke, --target, $(CANARY_URL)]"})
	}
	for i, arg := range c.Argv {
		field := fmt.Sprintf("argv[%d]", i)
		if strings.Contains(arg, "\x00") {
			found = append(found, rollout.Problem{Field: field, Message: "holds a NUL character", Mend: "remove it"})
		}
		for _, match := range placeholder.FindAllStringSubmatch(arg, -1) {
			if !slices.Contains(placeholders(), match[1]) {
				found = append(found, rollout.Problem{
					Field:   field,
					Message: match[0] + " is not replaced; it reaches the program as it stands",
					Mend:    "use one of $(" + strings.Join(placeholders(), "), $(") + ")",
					Warning: true,
				})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		field := "env." + name
		switch {
		case !variableName.MatchString(name):
			found = append(found, rollout.Problem{Field: field, Message: "is not the name of an environment variable", Mend: "use letters, digits and underscores"})
		case strings.HasPrefix(name, "SERIN_"):
			found = append(found, rollout.Problem{Field: field, Message: "is set by Serin itself", Mend: "choose a name that does not begin with SERIN_"})
		case credential.LooksSecret(name) && !c.Env[name].IsRef() && c.Env[name].Text != "":
			found = append(found, rollout.Problem{Field: field, Message: "looks like a secret written in the file", Mend: "write " + name + ": {env: " + name + "} or {file: PATH}", Warning: true})
		}
		found = append(found, c.Env[name].Problems(field)...)
	}
	return found
}
