package rollout

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// decoder turns one document into Go values by their json tags, strictly, and
// remembers where each value was written so that later problems can be placed.
type decoder struct {
	file    string
	catalog Catalog
	found   []Located
	// places holds the position of every value in the document, by path.
	places map[string]place
	// inAdapter is set inside an adapter's fields. They may be secrets, so
	// problems do not quote them.
	inAdapter bool
	// measurers are the adapters that say what they measure.
	measurers []Measurer
	soundness
}

func newDecoder(file string, catalog Catalog) *decoder {
	return &decoder{file: file, catalog: catalog, places: map[string]place{}, soundness: newSoundness()}
}

type place struct {
	line, column int
	null         bool // nothing is written there
}

func (n *node) place() place { return place{n.line, n.column, n.isNull()} }
func (e entry) place() place { return place{line: e.line, column: e.column} }

// Chooser is implemented by text types that take one of a few values.
type Chooser interface {
	// Choices lists the values that may be written.
	Choices() []string
}

func (d *decoder) problemAt(p place, problem Problem) {
	if !problem.Warning {
		d.mark(problem.Field)
	}
	problem.Field, problem.Message, problem.Mend = clip(problem.Field), clip(problem.Message), clip(problem.Mend)
	d.found = append(d.found, Located{Problem: problem, File: d.file, Line: p.line, Column: p.column})
}

func (d *decoder) problem(n *node, path, message, mend string) {
	d.problemAt(n.place(), Problem{Field: path, Message: message, Mend: mend})
}

// report places a problem at its field, or at the nearest field around it that
// was written.
func (d *decoder) report(p Problem) {
	d.problemAt(d.placeOf(p.Field), p)
}

func (d *decoder) placeOf(path string) place {
	for {
		if p, ok := d.places[path]; ok {
			return p
		}
		if path == "" {
			return place{line: 1, column: 1}
		}
		path = parent(path)
	}
}

// written reports whether the file itself has a value at path.
func (d *decoder) written(path string) bool {
	p, ok := d.places[path]
	return ok && !p.null
}

var (
	plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

func joinPath(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// decode stores n in v, which is addressable and holds its defaults. It
// reports whether all of it was usable.
func (d *decoder) decode(n *node, path string, v reflect.Value) bool {
	d.places[path] = n.place()
	if n.isNull() {
		return d.decodeNull(n, path, v)
	}
	if ok, done := d.decodeSpecial(n, path, v); done {
		return ok
	}
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		ok := d.decode(n, path, target.Elem())
		v.Set(target)
		return ok
	case reflect.Struct:
		return d.decodeStruct(n, path, v)
	case reflect.Map:
		return d.decodeMap(n, path, v)
	case reflect.Slice:
		return d.decodeSlice(n, path, v)
	case reflect.Interface:
		return d.decodeJSON(n, path, v)
	}
	return d.decodeScalar(n, path, v)
}

// decodeNull takes "nothing written" for the default where a list or a group of
// fields was to be, and for none where that is a choice, as in early: null. A
// lone value must not be forgotten.
func (d *decoder) decodeNull(n *node, path string, v reflect.Value) bool {
	_, readsItself := v.Addr().Interface().(json.Unmarshaler)
	_, readsText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Type() == reflect.TypeFor[Adapter]():
		return true
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte("null"))
		return true
	case v.Kind() == reflect.Pointer, v.Kind() == reflect.Interface:
		v.SetZero()
		return true
	case readsItself, readsText:
	case v.Kind() == reflect.Struct:
		return d.decodeStruct(&node{shape: mappingShape, line: n.line, column: n.column}, path, v)
	case v.Kind() == reflect.Map, v.Kind() == reflect.Slice:
		return true
	}
	d.problem(n, path, "is empty", "write "+example(v.Type())+", or remove the line")
	return false
}

// decodeSpecial handles the types that say themselves how they are read.
func (d *decoder) decodeSpecial(n *node, path string, v reflect.Value) (ok, done bool) {
	if v.Type() == reflect.TypeFor[Adapter]() {
		return d.decodeUnion(n, path, v.Addr().Interface().(*Adapter)), true
	}
	if _, inline := inlinePort(v.Type()); inline {
		return d.decodeStruct(n, path, v), true
	}
	switch target := v.Addr().Interface().(type) {
	case json.Unmarshaler:
		return d.decodeJSON(n, path, v), true
	case encoding.TextUnmarshaler:
		return d.decodeOwnText(n, path, v.Type(), target), true
	}
	return false, false
}

// decodeOwnText hands the text to the type's own UnmarshalText. Its error is not
// shown inside adapters: such errors quote what was written.
func (d *decoder) decodeOwnText(n *node, path string, t reflect.Type, target encoding.TextUnmarshaler) bool {
	if n.shape != scalarShape || n.tag != "!!str" {
		return d.wrongType(n, path, t)
	}
	err := target.UnmarshalText([]byte(n.text))
	if err == nil {
		return true
	}
	message := "cannot be read"
	if !d.inAdapter {
		message += ": " + err.Error()
	}
	d.problem(n, path, message, "write a valid "+t.String())
	return false
}

func (d *decoder) decodeStruct(n *node, path string, v reflect.Value) bool {
	if n.shape != mappingShape {
		return d.wrongType(n, path, v.Type())
	}
	fields := fieldsOf(v.Type())
	port, inline := inlinePort(v.Type())
	ok := true
	var unions []entry
	for _, en := range n.entries {
		at := joinPath(path, en.key)
		f, known := fields.find(en.key)
		switch {
		case known:
			ok = d.decode(en.value, at, v.FieldByIndex(f.index)) && ok
		case inline:
			unions = append(unions, en)
		default:
			mend := suggest(en.key, fields.names())
			if len(fields) == 0 {
				mend = "it takes no fields; write {}"
			}
			d.problemAt(en.place(), Problem{Field: at, Message: "is not a known field", Mend: mend})
			if meant := nearest(en.key, fields.names()); meant != "" && !n.has(meant) {
				d.mark(joinPath(path, meant)) // its value is not the user's
			}
			ok = false
		}
	}
	for _, f := range fields {
		if at := joinPath(path, f.name); f.required && !n.has(f.name) && !d.reported(at) && v.FieldByIndex(f.index).Type() != reflect.TypeFor[Adapter]() {
			d.problemAt(n.place(), Problem{Field: at, Message: "is missing", Mend: "add " + f.name + ": " + exampleField(f, v.FieldByIndex(f.index).Type())})
			ok = false
		}
	}
	if inline {
		ok = d.decodeInline(n, unions, path, port, fields.names(), v.FieldByName("Adapter").Addr().Interface().(*Adapter)) && ok
	}
	return ok
}

func (n *node) has(key string) bool {
	for _, en := range n.entries {
		if en.key == key {
			return true
		}
	}
	return false
}

func (d *decoder) decodeMap(n *node, path string, v reflect.Value) bool {
	if n.shape != mappingShape || v.Type().Key().Kind() != reflect.String {
		return d.wrongType(n, path, v.Type())
	}
	ok := true
	m := reflect.MakeMap(v.Type())
	for _, en := range n.entries {
		value := reflect.New(v.Type().Elem()).Elem()
		ok = d.decodeItem(en.value, joinPath(path, en.key), value) && ok
		m.SetMapIndex(reflect.ValueOf(en.key).Convert(v.Type().Key()), value)
	}
	d.setGroup(v, m)
	return ok
}

func (d *decoder) decodeSlice(n *node, path string, v reflect.Value) bool {
	if n.shape != sequenceShape {
		return d.wrongType(n, path, v.Type())
	}
	ok := true
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		element := list.Index(i)
		setDefaults(element)
		ok = d.decodeItem(item, fmt.Sprintf("%s[%d]", path, i), element) && ok
	}
	d.setGroup(v, list)
	return ok
}

// setGroup stores a list or map. In the rollout itself an empty one is the same
// as none; an adapter may tell them apart.
func (d *decoder) setGroup(v, group reflect.Value) {
	if group.Len() == 0 && !d.inAdapter {
		v.SetZero()
		return
	}
	v.Set(group)
}

// decodeItem decodes an element of a list or map, where null is a mistake.
func (d *decoder) decodeItem(n *node, path string, v reflect.Value) bool {
	if n.isNull() && v.Kind() != reflect.Interface {
		d.places[path] = n.place()
		d.problem(n, path, "is empty", "write "+example(v.Type())+", or remove the line")
		return false
	}
	return d.decode(n, path, v)
}

// decodeJSON hands the value to the type's own UnmarshalJSON.
func (d *decoder) decodeJSON(n *node, path string, v reflect.Value) bool {
	data, err := n.json()
	if err == nil {
		err = json.Unmarshal(data, v.Addr().Interface())
	}
	if err != nil {
		message, mend, ok := strings.Cut(err.Error(), "; ")
		if !ok {
			mend = "write " + example(v.Type())
		}
		d.problem(n, path, message, mend)
		return false
	}
	return true
}

func (d *decoder) decodeScalar(n *node, path string, v reflect.Value) bool {
	if n.shape != scalarShape {
		return d.wrongType(n, path, v.Type())
	}
	switch v.Kind() {
	case reflect.String:
		if n.tag != "!!str" {
			return d.wrongType(n, path, v.Type())
		}
		return d.decodeText(n, path, v)
	case reflect.Bool:
		if n.tag != "!!bool" {
			return d.wrongType(n, path, v.Type())
		}
		v.SetBool(strings.EqualFold(n.text, "true"))
		return true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.text, 10, 64)
		if n.tag != "!!int" || err != nil || octalLike(n.text) || v.OverflowInt(i) {
			return d.wrongType(n, path, v.Type())
		}
		v.SetInt(i)
		return true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.text, 10, 64)
		if n.tag != "!!int" || err != nil || octalLike(n.text) || v.OverflowUint(u) {
			return d.wrongType(n, path, v.Type())
		}
		v.SetUint(u)
		return true
	case reflect.Float32, reflect.Float64:
		f, err := n.number()
		if err != nil || v.OverflowFloat(f) {
			return d.wrongType(n, path, v.Type())
		}
		v.SetFloat(f)
		return true
	}
	d.problem(n, path, "cannot be written in a file", "remove it")
	return false
}

func (d *decoder) decodeText(n *node, path string, v reflect.Value) bool {
	v.SetString(n.text)
	chooser, ok := v.Interface().(Chooser)
	if !ok {
		return true
	}
	choices := chooser.Choices()
	for _, c := range choices {
		if c == n.text {
			return true
		}
	}
	message := fmt.Sprintf("%q is not known", n.text)
	if d.inAdapter {
		message = "is not known"
	}
	d.problem(n, path, message, suggest(n.text, choices))
	return false
}

func (d *decoder) wrongType(n *node, path string, want reflect.Type) bool {
	mend := "write " + example(want)
	if want.Kind() == reflect.String && n.shape == scalarShape && n.tag != "!!null" {
		mend = "put it in quotes"
		if !d.inAdapter {
			mend += ": " + strconv.Quote(n.text)
		}
	}
	d.problem(n, path, fmt.Sprintf("is %s where %s belongs", n.describe(d.inAdapter), describeType(want)), mend)
	return false
}
