package command

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
)

// Whatever is printed in whatever pieces, the end is kept, and not even the end
// of a secret whose beginning was lost is shown.
func TestTheTailShowsNoPartOfASecret(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SERIN_TEST_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SERIN_TEST_SEED: %v", err)
		}
		seed = parsed
	}
	t.Logf("SERIN_TEST_SEED=%d repeats this run", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 2000 {
		secret := letters(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4+random.IntN(200))
		scrubber := credential.NewScrubber(credential.NewSecret(secret))
		var printed strings.Builder
		for printed.Len() < random.IntN(20<<10) {
			printed.WriteString(letters(random, "abcdefghij \n", random.IntN(300)))
			printed.WriteString(secret)
		}
		printed.WriteString("the end")
		out := newTail(scrubber)
		for rest := printed.String(); rest != ""; {
			n := min(len(rest), 1+random.IntN(9000))
			if _, err := out.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		text := out.text(scrubber)
		shown := strings.ReplaceAll(text, credential.Redacted, "")
		if strings.ContainsAny(shown, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") || len(text) > maxOutput || !strings.HasSuffix(text, "the end") {
			t.Fatalf("round %d, secret of %d letters, %d bytes printed: kept %q", round, len(secret), printed.Len(), text)
		}
		if cap(out.buf) > 8*(maxOutput+scrubber.Longest()) {
			t.Fatalf("round %d: %d bytes of memory", round, cap(out.buf))
		}
	}
}

func letters(random *rand.Rand, of string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[random.IntN(len(of))]
	}
	return string(b)
}
