package httpgate

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ohler55/ojg/jp"
	"golang.org/x/net/http/httpguts"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/rollout"
)

// Validate implements rollout.Validator.
func (c TestConfig) Validate() []rollout.Problem {
	var found []rollout.Problem
	target := guarded.Target{URL: c.URL, Headers: c.Headers}
	switch {
	case c.Path == "" && c.URL.IsZero():
		found = append(found, rollout.Problem{Field: "path", Message: "is missing", Mend: "write the path to ask of the canary, such as path: /healthz"})
	case c.Path != "" && !c.URL.IsZero():
		found = append(found, rollout.Problem{Field: "url", Message: "stands beside path", Mend: "keep path to ask the canary's instances, or url to ask that address"})
	case c.Path != "":
		if !strings.HasPrefix(c.Path, "/") || !validPath(c.Path) {
			found = append(found, rollout.Problem{Field: "path", Message: "is not a path", Mend: "begin it with a slash, such as /healthz"})
		}
	}
	if c.URL.IsZero() {
		// Only the headers are left to look at.
		target.URL = credential.Value{Text: "http://canary.invalid"}
	}
	found = append(found, target.Problems()...)
	found = append(found, methodProblems(c.Method)...)
	return append(found, c.Expect.problems()...)
}

// Validate implements rollout.Validator.
func (c HookConfig) Validate() []rollout.Problem {
	found := guarded.Target{URL: c.URL, Headers: c.Headers}.Problems()
	found = append(found, methodProblems(c.Method)...)
	if c.HMAC != nil {
		found = append(found, c.HMAC.Secret.Problems("hmac.secret")...)
	}
	return append(found, c.Expect.problems()...)
}

func validPath(path string) bool {
	_, err := url.Parse("http://canary.invalid" + path)
	return err == nil
}

func methodProblems(method string) []rollout.Problem {
	if method == "" || httpguts.ValidHeaderFieldName(method) && method == strings.ToUpper(method) && method != http.MethodConnect {
		return nil
	}
	return []rollout.Problem{{Field: "method", Message: "is not a method that can be used", Mend: "write one such as GET or POST, in capitals"}}
}

func (e Expect) problems() []rollout.Problem {
	var found []rollout.Problem
	for i, status := range e.Status {
		if status < 100 || status > 599 {
			found = append(found, rollout.Problem{Field: fmt.Sprintf("expect.status[%d]", i), Message: fmt.Sprintf("%d is not a status", status), Mend: "write one from 100 to 599"})
		}
	}
	if _, err := regexp.Compile(e.Body); err != nil {
		found = append(found, rollout.Problem{Field: "expect.body", Message: "is not a regular expression: " + err.Error(), Mend: "see https://pkg.go.dev/regexp/syntax; to match a text as it stands, write \\Qtext\\E"})
	}
	for i, j := range e.JSON {
		field := fmt.Sprintf("expect.json[%d]", i)
		if _, err := jp.ParseString(j.Path); err != nil || j.Path == "" {
			found = append(found, rollout.Problem{Field: field + ".path", Message: "is not a JSONPath", Mend: "write one such as $.items[0].price"})
		}
		if _, err := parseJSON(j.Equals); len(j.Equals) > 0 && err != nil {
			found = append(found, rollout.Problem{Field: field + ".equals", Message: "is not a JSON value", Mend: "write a number, a text, true, false, a list or a mapping"})
		}
	}
	if e.Latency < 0 {
		found = append(found, rollout.Problem{Field: "expect.latency", Message: "is negative", Mend: "write one such as 300ms"})
	}
	return found
}
