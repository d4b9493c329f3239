package httpgate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/guarded"
)

const (
	// maxBody is how much of an answer is read and compared.
	maxBody = 1 << 20
	// maxOutput is how much of it is kept when it fails.
	maxOutput = 4 << 10
	// maxMessage keeps a message one that is read in a glance.
	maxMessage = 300
	// longest bounds an exchange whose context has no end; a hook may be given
	// hours.
	longest = 24 * time.Hour
)

// asked is the outcome of one request.
type asked struct {
	// why says why it failed; empty when it passed.
	why    string
	output string
	took   time.Duration
}

// ask sends one request and compares the answer. The scrubber knows what must
// not be shown.
func ask(ctx context.Context, client *http.Client, req *http.Request, expect expectation, scrubber credential.Scrubber) asked {
	a, err := exchange(client, req)
	if err != nil {
		return asked{why: scrubber.Scrub(guarded.Explain(ctx, err)), took: a.took}
	}
	result := asked{took: a.took}
	if why := expect.unmet(a); why != "" {
		result.why = scrubber.Scrub(why)
		result.output = excerpt(a.body, scrubber)
	}
	return result
}

func exchange(client *http.Client, req *http.Request) (answer, error) {
	started := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return answer{took: time.Since(started)}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, location: resp.Header.Get("Location"), body: body, took: time.Since(started)}
	if errors.Is(err, guarded.ErrTooLarge) {
		a.cut, err = true, nil
	}
	return a, err
}

// excerpt is the beginning of a body, scrubbed before it is cut.
func excerpt(body []byte, scrubber credential.Scrubber) string {
	// No more of a large body than is shown, and what the scrubber needs to
	// recognise a secret at its end.
	head := body[:min(len(body), maxOutput+scrubber.Longest())]
	text := strings.ToValidUTF8(scrubber.Scrub(string(head)), "")
	if len(head) < len(body) {
		// A secret that was cut is not recognised; drop what may be one.
		text = text[:max(len(text)-scrubber.Longest(), 0)]
	}
	if len(text) > maxOutput {
		text = strings.ToValidUTF8(text[:maxOutput], "")
	}
	return text
}

// failed is the result of a gate that could not be asked.
func failed(err error) gate.Result { return gate.Result{Message: oneLine("not asked: " + err.Error())} }

func oneLine(s string) string { return cut(strings.Join(strings.Fields(s), " "), maxMessage) }
