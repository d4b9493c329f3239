package credential

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// shortest is the length below which a value is not looked for: replacing
// every "a" would hide the text and nothing else.
const shortest = 4

// Scrubber replaces known secrets in text by [redacted]. The zero Scrubber
// knows none.
type Scrubber struct {
	replacer *strings.Replacer
	longest  int
}

// NewScrubber knows the given secrets, in the forms in which programs are used
// to print them: plain, escaped for a URL or for JSON, in base64 and in hex.
func NewScrubber(secrets ...Secret) Scrubber {
	var forms []string
	for _, secret := range secrets {
		forms = append(forms, formsOf(secret.text)...)
		// A secret of several lines, such as a key, may be printed line by line.
		if strings.Contains(secret.text, "\n") {
			for line := range strings.SplitSeq(secret.text, "\n") {
				forms = append(forms, formsOf(strings.TrimSpace(line))...)
			}
		}
	}
	if len(forms) == 0 {
		return Scrubber{}
	}
	// The longest first: of two secrets, one may begin with the other.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, Redacted)
	}
	return Scrubber{replacer: strings.NewReplacer(pairs...), longest: len(forms[0])}
}

// Scrub returns text without the secrets.
func (s Scrubber) Scrub(text string) string {
	if s.replacer == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// Longest is the length of the longest form looked for. Whoever cuts text must
// scrub it first, or a cut secret is not recognised; with the beginning lost
// already, the first Longest bytes that are left are not safe.
func (s Scrubber) Longest() int { return s.longest }

func formsOf(text string) []string {
	if len(text) < shortest {
		return nil
	}
	forms := []string{text}
	add := func(form string) {
		if len(form) >= shortest && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	add(url.QueryEscape(text))
	add(url.PathEscape(text))
	add(base64.StdEncoding.EncodeToString([]byte(text)))
	add(base64.RawStdEncoding.EncodeToString([]byte(text)))
	add(base64.URLEncoding.EncodeToString([]byte(text)))
	add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	add(hex.EncodeToString([]byte(text)))
	if quoted, err := json.Marshal(text); err == nil {
		add(strings.Trim(string(quoted), `"`))
	}
	return forms
}
