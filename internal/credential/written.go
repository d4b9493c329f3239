package credential

import (
	"net/url"
	"regexp"
)

var secretName = regexp.MustCompile(`(?i)(authorization|password|passwd|secret|token|api[-_]?key|credential|private[-_]?key)`)

// LooksSecret reports whether the value of a header or variable of this name
// is usually a secret.
func LooksSecret(name string) bool { return secretName.MatchString(name) }

// InURL reports whether a URL carries a credential that can be recognised: a
// password, or a parameter whose name says so.
func InURL(u *url.URL) bool {
	if _, ok := u.User.Password(); ok {
		return true
	}
	for name := range u.Query() {
		if LooksSecret(name) {
			return true
		}
	}
	return false
}
