package judge

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// unknownKeys lists the keys of a line that nobody knows, each with its path and
// once, in the order of the alphabet. The names that people give, of instances and
// figures, stand as * in a path.
func unknownKeys(raw []byte) []string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var found []string
	walk(v, reflect.TypeFor[line](), "", &found)
	slices.Sort(found)
	return slices.Compact(found)
}

// walk adds the unknown keys of v, which has been decoded into a t, at path.
func walk(v any, t reflect.Type, path string, found *[]string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return // it reads what is below it itself
	}
	switch v := v.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for _, e := range v {
				walk(e, t.Elem(), path, found)
			}
		}
	case map[string]any:
		for key, e := range v {
			switch t.Kind() {
			case reflect.Map:
				walk(e, t.Elem(), path+"*.", found)
			case reflect.Struct:
				if field, ok := fieldOf(t, key); ok {
					walk(e, field, path+key+".", found)
				} else {
					*found = append(*found, path+key)
				}
			}
		}
	}
}

// fieldOf finds a field as encoding/json does, which takes capitals for small
// letters.
func fieldOf(t reflect.Type, key string) (reflect.Type, bool) {
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); strings.EqualFold(name, key) {
			return f.Type, true
		}
	}
	return nil, false
}
