package builtin_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// validator checks values against a JSON Schema as an editor does. It knows
// the keywords that the schema uses and refuses all others, so that none goes
// untested.
type validator struct {
	root map[string]any
	// order holds the names of each definition's properties as they stand.
	order map[string][]string
}

var annotations = []string{"$schema", "$id", "$defs", "title", "description", "default", "examples"}

// check returns an error unless v is valid.
func (c validator) check(schema any, v any, path string) error {
	if accepts, ok := schema.(bool); ok {
		if !accepts {
			return fmt.Errorf("%s: nothing is allowed here", path)
		}
		return nil
	}
	s := schema.(map[string]any)
	for keyword, argument := range s {
		if err := c.keyword(s, keyword, argument, v, path); err != nil {
			return err
		}
	}
	return nil
}

func (c validator) keyword(s map[string]any, keyword string, argument, v any, path string) error {
	object, _ := v.(map[string]any)
	list, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	refuse := func(ok bool) error {
		if ok {
			return nil
		}
		return fmt.Errorf("%s: %v does not satisfy %s %v", path, v, keyword, argument)
	}
	switch keyword {
	case "$ref":
		name, ok := strings.CutPrefix(argument.(string), "#/$defs/")
		target := c.root["$defs"].(map[string]any)[name]
		if !ok || target == nil {
			panic("dangling reference " + argument.(string))
		}
		return c.check(target, v, path)
	case "type":
		return refuse(hasType(v, argument.(string)))
	case "enum":
		return refuse(slices.ContainsFunc(argument.([]any), func(a any) bool { return reflect.DeepEqual(a, v) }))
	case "required":
		for _, name := range argument.([]any) {
			if _, ok := object[name.(string)]; object != nil && !ok {
				return fmt.Errorf("%s: %s is missing", path, name)
			}
		}
	case "properties":
		for name, sub := range argument.(map[string]any) {
			if value, ok := object[name]; ok {
				if err := c.check(sub, value, path+"."+name); err != nil {
					return err
				}
			}
		}
	case "additionalProperties":
		known, _ := s["properties"].(map[string]any)
		for name, value := range object {
			if known[name] == nil {
				if err := c.check(argument, value, path+"."+name); err != nil {
					return err
				}
			}
		}
	case "items":
		for i, item := range list {
			if err := c.check(argument, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "anyOf", "oneOf":
		matches := 0
		var last error
		for _, sub := range argument.([]any) {
			if err := c.check(sub, v, path); err != nil {
				last = err
			} else {
				matches++
			}
		}
		if matches == 0 || keyword == "oneOf" && matches > 1 {
			return fmt.Errorf("%s: %d of %s match; %w", path, matches, keyword, last)
		}
	case "not":
		return refuse(c.check(argument, v, path) != nil)
	case "minItems":
		return refuse(!isList || len(list) >= int(argument.(float64)))
	case "minProperties":
		return refuse(object == nil || len(object) >= int(argument.(float64)))
	case "maxProperties":
		return refuse(object == nil || len(object) <= int(argument.(float64)))
	case "maxLength":
		return refuse(!isText || utf8.RuneCountInString(text) <= int(argument.(float64)))
	case "pattern":
		return refuse(!isText || regexp.MustCompile(argument.(string)).MatchString(text))
	case "minimum":
		return refuse(!isNumber || number >= argument.(float64))
	case "maximum":
		return refuse(!isNumber || number <= argument.(float64))
	case "exclusiveMinimum":
		return refuse(!isNumber || number > argument.(float64))
	default:
		if !slices.Contains(annotations, keyword) {
			panic("the validator does not know " + keyword)
		}
	}
	return nil
}

func hasType(v any, want string) bool {
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == math.Trunc(v)
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}

// plain turns a decoded YAML value into what JSON would have given.
func plain(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(data, &out)
}
