package rollout

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// describe says what was written, for messages; discreetly: without quoting it.
func (n *node) describe(discreet bool) string {
	switch {
	case n.shape == mappingShape:
		return "a group of fields"
	case n.shape == sequenceShape:
		return "a list"
	case n.isNull():
		return "nothing"
	}
	what := map[string]string{"!!bool": "a truth value", "!!int": "a number", "!!float": "a number"}[n.tag]
	if what == "" {
		what = "text"
	}
	const longest = 40
	if discreet || len(n.text) > longest {
		return what
	}
	if n.tag == "!!str" {
		return fmt.Sprintf("the text %s", strconv.Quote(n.text))
	}
	return fmt.Sprintf("%s (%s)", what, n.text)
}

// describeType says what belongs somewhere.
func describeType(t reflect.Type) string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describeType(t.Elem())
	case reflect.Struct:
		return "a group of fields"
	case reflect.Map:
		return "a group of names and values"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// example returns something of the type that could be written.
func example(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "a duration such as 30m or 10s"
	case reflect.TypeFor[Percent]():
		return "a percentage such as 10%"
	case reflect.TypeFor[Adapter]():
		return "the adapter's name and its fields, such as {name: {…}}"
	}
	if c, ok := reflect.Zero(t).Interface().(Chooser); ok {
		return oneOf(c.Choices())
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "text that is a valid " + t.String()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "a value"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return example(t.Elem())
	case reflect.Struct:
		names := fieldsOf(t).names()
		if len(names) == 0 {
			return "{}"
		}
		return "a group of fields such as {" + names[0] + ": …}"
	case reflect.Map:
		return "a group of names and values such as {name: value}"
	case reflect.Slice:
		return "a list such as [a, b]"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return `text such as "v1"`
	case reflect.Float32, reflect.Float64:
		return "a number such as 2 or 0.5"
	}
	return "a whole number such as 5"
}

// oneOf says what to choose from.
func oneOf(choices []string) string {
	if len(choices) > 1 {
		return "one of " + joinWords(choices)
	}
	return joinWords(choices)
}

func joinWords(words []string) string {
	out := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			out += " or "
		default:
			out += ", "
		}
		out += w
	}
	return out
}

// exampleField returns what could be written behind the name of a field that
// is missing.
func exampleField(f field, t reflect.Type) string {
	if f.example != "" {
		return f.example
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return "30m"
	case reflect.TypeFor[Percent]():
		return "10%"
	}
	if c, ok := reflect.Zero(t).Interface().(Chooser); ok {
		return joinWords(c.Choices())
	}
	return "…"
}
