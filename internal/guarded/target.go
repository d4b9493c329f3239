package guarded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// Target is an address and the headers that go along, as a user writes them.
type Target struct {
	URL     credential.Value
	Headers map[string]credential.Value
}

// Problems returns what is wrong with the fields "url" and "headers", secrets
// that stand in the file among it.
func (t Target) Problems() []rollout.Problem {
	found := t.URL.Problems("url")
	if !t.URL.IsRef() {
		found = append(found, urlProblems(t.URL.Text)...)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		found = append(found, headerProblems(name, t.Headers[name])...)
	}
	return found
}

func urlProblems(text string) []rollout.Problem {
	problem := func(message, mend string) []rollout.Problem {
		return []rollout.Problem{{Field: "url", Message: message, Mend: mend}}
	}
	u, err := parse(text)
	switch {
	case err != nil:
		return problem(err.Error(), "write one such as https://example.com/path")
	case credential.InURL(u):
		return problem("holds a credential in the file", "put the whole URL elsewhere and write url: {env: NAME} or url: {file: PATH}")
	}
	if err := checkLiteral(u.Hostname()); err != nil {
		return problem(err.Error(), "use the address of the service itself")
	}
	return nil
}

func headerProblems(name string, value credential.Value) []rollout.Problem {
	field := "headers." + name
	found := value.Problems(field)
	problem := func(message, mend string) {
		found = append(found, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		problem("is not the name of a header", "use letters, digits and dashes")
	case strings.HasPrefix(strings.ToLower(name), "serin-"):
		problem("is set by Serin itself", "choose a name that does not begin with Serin-")
	case !value.IsRef() && credential.LooksSecret(name) && value.Text != "":
		problem("is a secret written in the file", "write "+name+": {env: NAME} or "+name+": {file: PATH}")
	case !value.IsRef() && !httpguts.ValidHeaderFieldValue(value.Text):
		problem("holds a character that a header cannot", "write it on one line")
	}
	return found
}

// parse accepts what can be asked: a whole http or https URL. Its errors do
// not repeat the URL.
func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("is not an http:// or https:// URL")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	}
	return u, nil
}

// Request returns a request to the target, and a scrubber that knows every
// secret in it and the further ones given. The secrets are read now.
func (t Target) Request(ctx context.Context, method string, body []byte, further ...credential.Secret) (*http.Request, credential.Scrubber, error) {
	secrets := slices.Clone(further)
	address, err := t.URL.Resolve()
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("url: %w", err)
	}
	if t.URL.IsRef() {
		secrets = append(secrets, credential.PartsOfURL(address)...)
	}
	u, err := parse(address.Reveal())
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("url: %s %w", t.URL, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, credential.Scrubber{}, fmt.Errorf("make request: %w", explained(err))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		value := t.Headers[name]
		secret, err := value.Resolve()
		if err != nil {
			return nil, credential.Scrubber{}, fmt.Errorf("header %s: %w", name, err)
		}
		if value.IsRef() {
			secrets = append(secrets, secret)
			// "Bearer TOKEN" may come back as TOKEN.
			for word := range strings.FieldsSeq(secret.Reveal()) {
				secrets = append(secrets, credential.NewSecret(word))
			}
		}
		if strings.EqualFold(name, "Host") {
			req.Host = secret.Reveal()
			continue
		}
		req.Header.Set(name, secret.Reveal())
	}
	return req, credential.NewScrubber(secrets...), nil
}

// Check says whether the target's secrets can be read.
func (t Target) Check() error {
	_, _, err := t.Request(context.Background(), http.MethodGet, nil)
	return err
}

// Explain says in one line why a request failed, without its URL.
func Explain(ctx context.Context, err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up: nobody waits for the answer any more"
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within the timeout"
	}
	return strings.Join(strings.Fields(explained(err).Error()), " ")
}

// explained takes the URL off an error of net/http.
func explained(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}
