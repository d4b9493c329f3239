package credential

import (
	"net/url"
	"strings"
	"unicode"
)

// PartsOfURL returns the parts of a secret URL that a program may print by
// themselves, for a Scrubber: user, password, path, query values, and the
// pieces between their punctuation. The host is not among them, without which
// no failure can be understood.
func PartsOfURL(secret Secret) []Secret {
	parts := []Secret{secret}
	add := func(text string) {
		parts = append(parts, NewSecret(text))
		for piece := range strings.FieldsFuncSeq(text, isPunctuation) {
			parts = append(parts, NewSecret(piece))
		}
	}
	u, err := url.Parse(secret.text)
	if err != nil {
		add(secret.text)
		return parts
	}
	if u.User != nil {
		add(u.User.Username())
		password, _ := u.User.Password()
		add(password)
	}
	add(u.Path)
	add(u.EscapedPath())
	add(u.Opaque)
	add(u.Fragment)
	for _, values := range u.Query() {
		for _, value := range values {
			add(value)
		}
	}
	return parts
}

func isPunctuation(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
