package httpgate

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/credential"
)

// Wherever a secret lies in a body, not even its beginning is shown when the
// rest was cut off.
func TestAnExcerptShowsNoPartOfASecret(t *testing.T) {
	secret := strings.Repeat("SECRET", 30)
	scrubber := credential.NewScrubber(credential.NewSecret(secret))
	for _, before := range []int{0, 1, 3} { // secrets that shorten the text when they are scrubbed
		for at := maxOutput - 200; at < maxOutput+1200; at++ {
			filler := strings.Repeat(secret+" ", before)
			body := filler + strings.Repeat("x", max(at-len(filler), 0)) + secret + strings.Repeat("y", 3000)
			text := excerpt([]byte(body), scrubber)
			if strings.ContainsAny(strings.ReplaceAll(text, credential.Redacted, ""), "SECRT") || len(text) > maxOutput {
				t.Fatalf("a secret at %d, %d before it: %q", at, before, text)
			}
		}
	}
}
