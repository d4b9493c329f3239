package proxy

import "strings"

// cookieValue is the value of the named cookie in one Cookie header, or empty.
// Quotes belong to the value: it is only hashed, and the same on every request.
func cookieValue(header, name string) string {
	for header != "" {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		k, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if k == name {
			return v
		}
	}
	return ""
}
