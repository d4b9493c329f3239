package credential

import "reflect"

// Refs returns every reference in a configuration, however deep, so that
// whoever checks a machine can look at them all without knowing the adapters.
func Refs(configuration any) []Ref {
	var found []Ref
	find(reflect.ValueOf(configuration), &found)
	return found
}

func find(v reflect.Value, found *[]Ref) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			find(v.Elem(), found)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			find(v.Index(i), found)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			find(v.MapIndex(key), found)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Ref]() {
			// The fields are strings, so copying them out needs no exported path.
			if ref := (Ref{Env: v.Field(0).String(), File: v.Field(1).String()}); !ref.IsZero() {
				*found = append(*found, ref)
			}
			return
		}
		for i := range v.NumField() {
			find(v.Field(i), found)
		}
	}
}
