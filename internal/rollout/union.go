package rollout

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// inlinePort returns the port of a type whose adapter's key stands beside its
// own fields.
func inlinePort(t reflect.Type) (Port, bool) {
	switch t {
	case reflect.TypeFor[Test]():
		return TestPort, true
	case reflect.TypeFor[Hook]():
		return HookPort, true
	case reflect.TypeFor[Notifier]():
		return NotifyPort, true
	}
	return "", false
}

// decodeUnion reads a mapping whose only key is the kind of an adapter. An
// empty one names none; whether one is needed is asked later.
func (d *decoder) decodeUnion(n *node, path string, into *Adapter) bool {
	port := Port(path[strings.LastIndexByte(path, '.')+1:])
	if n.shape == scalarShape && d.catalog[port][n.text] != nil {
		d.problem(n, path, "names the adapter without its fields", fmt.Sprintf("write %s: {…}", n.text))
		return false
	}
	if n.shape != mappingShape {
		return d.wrongType(n, path, reflect.TypeFor[Adapter]())
	}
	if len(n.entries) == 0 {
		return true
	}
	return d.decodeAdapter(n.entries, path, port, nil, into)
}

// decodeInline reads the adapter of a test, hook or notifier: the keys that
// are not its own fields.
func (d *decoder) decodeInline(n *node, unions []entry, path string, port Port, own []string, into *Adapter) bool {
	if len(unions) == 0 {
		d.problem(n, path, "does not say how it is carried out", "add "+d.kindsToWrite(port))
		return false
	}
	return d.decodeAdapter(unions, path, port, own, into)
}

// decodeAdapter decodes the one adapter that keys must be. own are the fields
// that could have stood in its place.
func (d *decoder) decodeAdapter(keys []entry, path string, port Port, own []string, into *Adapter) bool {
	kinds := sortedKeys(d.catalog[port])
	ok := true
	var known []entry
	for _, en := range keys {
		if d.catalog == nil || d.catalog[port][en.key] != nil {
			known = append(known, en)
			continue
		}
		message := fmt.Sprintf("is not a known %s adapter", port.singular())
		if own != nil {
			message = "is neither a field nor a known " + port.singular() + " adapter"
		}
		d.problemAt(en.place(), Problem{Field: joinPath(path, en.key), Message: message, Mend: suggest(en.key, append(own[:len(own):len(own)], kinds...))})
		ok = false
	}
	if len(known) > 1 {
		var names []string
		for _, en := range known {
			names = append(names, fmt.Sprintf("%s (%d:%d)", en.key, en.line, en.column))
		}
		second := known[1]
		d.problemAt(second.place(), Problem{Field: path, Message: fmt.Sprintf("names %d adapters: %s", len(known), strings.Join(names, ", ")), Mend: "keep one"})
		ok = false
	}
	for _, en := range known {
		if d.catalog == nil {
			data, err := en.value.json()
			if err != nil {
				message, mend, _ := strings.Cut(err.Error(), "; ")
				d.problem(en.value, joinPath(path, en.key), message, mend)
				return false
			}
			*into = Adapter{Kind: en.key, Config: data}
			continue
		}
		ok = d.decodeConfig(en, joinPath(path, en.key), port, into) && ok
	}
	return ok
}

// decodeConfig decodes the fields of one adapter over its defaults and lets it
// validate itself.
func (d *decoder) decodeConfig(en entry, path string, port Port, into *Adapter) bool {
	config := d.catalog[port][en.key]()
	d.places[path] = en.value.place()
	outside := d.inAdapter
	d.inAdapter = true
	ok := d.decode(en.value, path, reflect.ValueOf(config).Elem())
	d.inAdapter = outside
	if !ok {
		*into = Adapter{Kind: en.key} // a mistake in the fields is not a missing adapter
		return false
	}
	if v, has := config.(Validator); has {
		for _, p := range v.Validate() {
			p.Field = below(path, p.Field)
			d.report(p)
			ok = ok && p.Warning
		}
	}
	if m, has := config.(Measurer); has {
		d.measurers = append(d.measurers, m)
	}
	data, err := json.Marshal(config)
	if err != nil {
		d.problem(en.value, path, "cannot be kept: "+err.Error(), "write it differently")
		return false
	}
	*into = Adapter{Kind: en.key, Config: data}
	return ok
}

// below puts a path reported by an adapter under the adapter's own.
func below(path, field string) string {
	switch {
	case field == "":
		return path
	case strings.HasPrefix(field, "["):
		return path + field
	}
	return path + "." + field
}

// kindsToWrite lists the adapters of a port as one would write them.
func (d *decoder) kindsToWrite(port Port) string {
	kinds := sortedKeys(d.catalog[port])
	if len(kinds) == 0 {
		return "one adapter"
	}
	for i, k := range kinds {
		kinds[i] = k + ": {…}"
	}
	return joinWords(kinds)
}

// singular names one adapter of the port in messages.
func (p Port) singular() string {
	switch p {
	case TestPort:
		return "test"
	case HookPort:
		return "hook"
	}
	return string(p)
}
