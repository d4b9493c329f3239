package httpgate

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ohler55/ojg/jp"
)

// expectation is an Expect that is ready to be compared.
type expectation struct {
	status  []int
	body    *regexp.Regexp
	json    []jsonExpectation
	latency time.Duration
}

type jsonExpectation struct {
	path   jp.Expr
	text   string
	equals any
	any    bool
}

// answer is what came back.
type answer struct {
	status int
	// location is where a redirect leads.
	location string
	body     []byte
	// cut: the body went on beyond what is read.
	cut  bool
	took time.Duration
}

func newExpectation(e Expect) (expectation, error) {
	ready := expectation{status: e.Status, latency: time.Duration(e.Latency)}
	if e.Body != "" {
		re, err := regexp.Compile(e.Body)
		if err != nil {
			return expectation{}, fmt.Errorf("expect.body: %w", err)
		}
		ready.body = re
	}
	for i, j := range e.JSON {
		path, err := jp.ParseString(j.Path)
		if err != nil {
			return expectation{}, fmt.Errorf("expect.json[%d].path: %w", i, err)
		}
		one := jsonExpectation{path: path, text: j.Path, any: len(j.Equals) == 0}
		if !one.any {
			if one.equals, err = parseJSON(j.Equals); err != nil {
				return expectation{}, fmt.Errorf("expect.json[%d].equals: %w", i, err)
			}
		}
		ready.json = append(ready.json, one)
	}
	return ready, nil
}

// unmet says which expectation an answer does not meet, or nothing.
func (e expectation) unmet(a answer) string {
	if !e.statusPasses(a.status) {
		text := fmt.Sprintf("answered %d, expected %s", a.status, e.statuses())
		if a.location != "" {
			text += "; it redirects, and redirects are not followed"
		}
		return text
	}
	if e.latency > 0 && a.took > e.latency {
		return fmt.Sprintf("answered in %s, expected at most %s", round(a.took), e.latency)
	}
	if a.cut && (e.body != nil || len(e.json) > 0) {
		return fmt.Sprintf("answered more than %d bytes, too much to be compared", maxBody)
	}
	if e.body != nil && !e.body.Match(a.body) {
		return fmt.Sprintf("answered a body that does not match %q", e.body)
	}
	return e.unmetJSON(a.body)
}

func (e expectation) statusPasses(status int) bool {
	if len(e.status) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(e.status, status)
}

func (e expectation) statuses() string {
	if len(e.status) == 0 {
		return "200 to 299"
	}
	texts := make([]string, len(e.status))
	for i, s := range e.status {
		texts[i] = strconv.Itoa(s)
	}
	return strings.Join(texts, " or ")
}

func (e expectation) unmetJSON(body []byte) string {
	if len(e.json) == 0 {
		return ""
	}
	document, err := parseJSON(body)
	if err != nil {
		return "answered a body that is not JSON"
	}
	for _, want := range e.json {
		found, err := get(want.path, document)
		switch {
		case err != nil:
			return fmt.Sprintf("answered a body in which %s cannot be looked up", want.text)
		case len(found) == 0:
			return fmt.Sprintf("answered a body without %s", want.text)
		case want.any:
			continue
		}
		for _, value := range found {
			if !equalJSON(value, want.equals) {
				return fmt.Sprintf("answered %s = %s, expected %s", want.text, excerptJSON(value), excerptJSON(want.equals))
			}
		}
	}
	return ""
}

// get looks a path up. The library panics on some combinations of path and
// document; a test that fails must not end Serin.
func get(path jp.Expr, document any) (found []any, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the path does not fit the document")
		}
	}()
	return path.Get(document), nil
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
