package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// nullInside says where a line has a null in place of a number or of an entry of
// a list. It would be read as 0, which says that nothing was counted, where in
// truth nobody knows. A null in place of a whole figure is no mistake: the figure
// was not measured.
func nullInside(raw []byte) error {
	if !bytes.Contains(raw, []byte("null")) {
		return nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return inWords(err)
	}
	path := nullAt(v, reflect.TypeFor[line](), "")
	if path == "" {
		return nil
	}
	return fmt.Errorf("%s: null does not belong there; write what was counted, 0 for nothing, and leave the figure out when it was not measured",
		strings.TrimPrefix(path, "."))
}

// nullAt is the path of the first such null of v, which has been decoded into a
// t, behind path; empty without one.
func nullAt(v any, t reflect.Type, path string) string {
	for t.Kind() == reflect.Pointer {
		if v == nil {
			return ""
		}
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "" // it reads what is below it itself
	}
	switch v := v.(type) {
	case nil:
		if t.Kind() == reflect.Float64 {
			return path
		}
	case []any:
		for i, e := range v {
			at := path + "[" + strconv.Itoa(i) + "]"
			if e == nil {
				return at
			}
			if found := nullAt(e, t.Elem(), at); found != "" {
				return found
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			below, known := reflect.Type(nil), true
			if t.Kind() == reflect.Map {
				below = t.Elem()
			} else {
				below, known = fieldOf(t, key)
			}
			if !known {
				continue
			}
			if found := nullAt(v[key], below, path+"."+key); found != "" {
				return found
			}
		}
	}
	return ""
}
