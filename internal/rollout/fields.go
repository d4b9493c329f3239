package rollout

import (
	"reflect"
	"strings"
)

// field is one field of a type as a file names it.
type field struct {
	name     string
	index    []int
	required bool
	example  string
}

type fields []field

// fieldsOf lists the fields that may be written for a type, those of embedded
// types included, in the order of their declaration. The tags are
// json:"name" and jsonschema:"required,example=…", which the schema reads too.
func fieldsOf(t reflect.Type) fields {
	var list fields
	for _, f := range reflect.VisibleFields(t) {
		name, _ := fieldName(f)
		if name == "" || !f.IsExported() || withinNamed(t, f.Index) {
			continue
		}
		entry := field{name: name, index: f.Index}
		for option := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if option == "required" {
				entry.required = true
			}
			if example, ok := strings.CutPrefix(option, "example="); ok && entry.example == "" {
				entry.example = example
			}
		}
		list = append(list, entry)
	}
	return list
}

// withinNamed reports whether a promoted field lies inside an embedded value
// that stands under a name of its own, or inside an Adapter.
func withinNamed(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		if name, _ := fieldName(f); name != "" || f.Type.Kind() != reflect.Struct || f.Type == reflect.TypeFor[Adapter]() {
			return true
		}
		t = f.Type
	}
	return false
}

func (l fields) find(name string) (field, bool) {
	for _, f := range l {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func (l fields) names() []string {
	names := make([]string, len(l))
	for i, f := range l {
		names[i] = f.name
	}
	return names
}
