package rollout

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of the patterns of one check.
const (
	maxPatterns   = 100
	longestGlob   = 200
	globCharacter = "*"
)

// MatchClass says whether a class of exceptions fits a pattern, in which each *
// stands for any characters. Case does not count. It takes time in proportion
// to the product of both lengths at worst.
func MatchClass(pattern, class string) bool {
	parts := strings.Split(strings.ToLower(pattern), globCharacter)
	class = strings.ToLower(class)
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return class == first
	}
	if len(class) < len(first)+len(last) || !strings.HasPrefix(class, first) || !strings.HasSuffix(class, last) {
		return false
	}
	class = class[len(first) : len(class)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		at := strings.Index(class, p)
		if at < 0 {
			return false
		}
		class = class[at+len(p):]
	}
	return true
}

// validateCritical checks the patterns of critical exceptions.
func validateCritical(path string, c Check, w written) []Problem {
	if c.Type != Exceptions {
		if !w(path) {
			return nil
		}
		return []Problem{{Field: path, Message: fmt.Sprintf("a check of type %s knows no critical exceptions", c.Type), Mend: "move it to a check of type exceptions"}}
	}
	if len(c.Critical) > maxPatterns {
		return []Problem{{Field: path, Message: fmt.Sprintf("has %d patterns; at most %d are looked at", len(c.Critical), maxPatterns), Mend: "join some of them with *"}}
	}
	var all []Problem
	for i, p := range c.Critical {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case strings.Trim(p, globCharacter+" ") == "":
			all = append(all, Problem{Field: at, Message: fmt.Sprintf("%q names no class: every exception would be critical", p), Mend: "write one such as PaymentLost*"})
		case len(p) > longestGlob:
			all = append(all, Problem{Field: at, Message: fmt.Sprintf("is %d bytes long; a class has at most %d", len(p), longestGlob), Mend: "shorten it with *"})
		case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' }):
			all = append(all, Problem{Field: at, Message: fmt.Sprintf("%q holds a space or a character that no class has", p), Mend: "write one such as PaymentLost*@cart.add"})
		}
	}
	return all
}
