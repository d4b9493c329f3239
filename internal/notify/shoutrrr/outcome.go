package shoutrrr

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/notify"
)

// errURL marks a URL that the service did not take.
var errURL = errors.New("the URL is not of the form that this service has")

// matrix is the service that logs in while its URL is read.
const matrix = "matrix"

// outcome turns the library's error into one that shows no part of the URL and
// says whether trying again can help.
func outcome(err error, u *url.URL, scrubber credential.Scrubber) error {
	if err == nil {
		return nil
	}
	if permanent(err, service(u)) {
		return fmt.Errorf("shoutrrr %s: %s: %w", service(u), clean(err, scrubber), notify.ErrRejected)
	}
	return fmt.Errorf("shoutrrr %s: %s", service(u), clean(err, scrubber))
}

// statusIn finds an HTTP status in the library's words: "status code: 404",
// "HTTP 403", or "404 Not Found".
var statusIn = regexp.MustCompile(`(?i)(?:status|http|response|code|failed|error)[^0-9]{0,40}?\b([1-5]\d\d)\b|\b([45]\d\d) [A-Z][a-z]`)

// refusals are the words with which Slack refuses for good; it has no status.
var refusals = regexp.MustCompile(`\b(invalid_token|invalid_auth|invalid_payload|token_revoked|account_inactive|not_authed|no_service|no_team|no_text|action_prohibited|channel_not_found|channel_is_archived|user_not_found)\b`)

// permanent reports whether trying again cannot help. The library keeps the
// status of most answers in words only.
func permanent(err error, service string) bool {
	switch {
	case errors.Is(err, guarded.ErrRefused):
		return true
	case errors.Is(err, errURL):
		// The library forgets why a login failed.
		return service != matrix
	}
	var smtp *textproto.Error
	if errors.As(err, &smtp) {
		return smtp.Code >= 500
	}
	text := err.Error()
	if match := statusIn.FindStringSubmatch(text); match != nil {
		status, _ := strconv.Atoi(match[1] + match[2])
		return status >= 300 && status < 500 &&
			status != http.StatusRequestTimeout && status != http.StatusTooEarly && status != http.StatusTooManyRequests
	}
	return refusals.MatchString(text)
}

var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]*`)

// maxMessage keeps an error one that is read in a glance; services quote whole
// answers.
const maxMessage = 300

// clean returns an error's words in one line without any URL, for the library
// quotes them, and without any part of this one.
func clean(err error, scrubber credential.Scrubber) string {
	text := scrubber.Scrub(anyURL.ReplaceAllString(err.Error(), "[URL]"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
