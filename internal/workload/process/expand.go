package process

import (
	"fmt"
	"slices"
	"strings"
)

// placeholders are the names that a command may use as $(NAME).
var placeholders = []string{"ADDR", "PORT", "VERSION"}

// expand replaces every $(NAME) in s by values[NAME]. $$( is a literal $(.
func expand(s string, values map[string]string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "$(")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "$(")
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], ')')
		if end < 0 {
			return "", fmt.Errorf("%q has $( without its )", s[i:])
		}
		name := s[i+2 : i+end]
		value, ok := values[name]
		if !ok {
			return "", fmt.Errorf("there is no $(%s)", name)
		}
		b.WriteString(s[:i] + value)
		s = s[i+end+1:]
	}
}

// checkPlaceholders returns what expand would complain about.
func checkPlaceholders(s string) error {
	values := make(map[string]string, len(placeholders))
	for _, name := range placeholders {
		values[name] = ""
	}
	_, err := expand(s, values)
	return err
}

// usesAddress says whether anything in the command or environment tells the
// program where to listen.
func usesAddress(command []string, env map[string]string) bool {
	tells := func(s string) bool {
		s = strings.ReplaceAll(s, "$$(", "")
		return strings.Contains(s, "$(ADDR)") || strings.Contains(s, "$(PORT)")
	}
	if slices.ContainsFunc(command, tells) {
		return true
	}
	for _, v := range env {
		if tells(v) {
			return true
		}
	}
	return false
}
