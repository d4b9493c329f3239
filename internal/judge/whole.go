package judge

import (
	"bytes"
	"encoding/json"
	"strings"
)

// withWholeNumbers writes 5.0 as 5: to many languages' JSON writers both are the
// same number. ok is false when there is nothing to rewrite.
func withWholeNumbers(raw []byte) (rewritten []byte, ok bool) {
	if !bytes.Contains(raw, []byte(".0")) {
		return nil, false
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil || dec.More() {
		return nil, false
	}
	rewritten, err := json.Marshal(wholeNumbers(v))
	return rewritten, err == nil
}

func wholeNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			v[key] = wholeNumbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = wholeNumbers(e)
		}
	case json.Number:
		if whole, fraction, found := strings.Cut(v.String(), "."); found && strings.Trim(fraction, "0") == "" {
			return json.Number(whole)
		}
	}
	return v
}
