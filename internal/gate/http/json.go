package httpgate

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/ohler55/ojg/oj"
)

// parseJSON reads one JSON document, strictly: the library by itself also
// takes comments and several documents.
func parseJSON(data []byte) (any, error) {
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	return oj.Parse(data)
}

// equalJSON compares two JSON values; numbers by their value, however they are
// written.
func equalJSON(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && equalNumbers(x, y)
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equalJSON(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			other, ok := b[key]
			if !ok || !equalJSON(value, other) {
				return false
			}
		}
		return true
	case string:
		b, ok := b.(string)
		return ok && a == b
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	}
	return a == nil && b == nil
}

// number returns the digits of a JSON number, in any type that the parser
// chooses for it.
func number(v any) (string, bool) {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// maxDigits bounds the integers that are compared exactly.
const maxDigits = 1000

func equalNumbers(a, b string) bool {
	if a == b {
		return true
	}
	if isInteger(a) && isInteger(b) {
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		return x != nil && y != nil && x.Cmp(y) == 0
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

func isInteger(s string) bool {
	return len(s) <= maxDigits && strings.Trim(s, "0123456789") == strings.Repeat("-", strings.Count(s, "-"))
}

// excerptJSON shows a value in a message.
func excerptJSON(v any) string {
	const longest = 60
	if n, ok := number(v); ok {
		return cut(n, longest)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "a value that cannot be shown"
	}
	return cut(string(data), longest)
}

// cut shortens text to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
