package rollout

import (
	"fmt"
	"reflect"
)

// Parse decodes, completes and validates a file that holds one rollout. On
// mistakes it returns a *FileError that lists all of them. Warnings are left
// out; ParseAll returns them.
func Parse(filename string, data []byte, catalog Catalog) (*Rollout, error) {
	all, _, err := ParseAll(filename, data, catalog)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, &FileError{Problems: []Located{{File: filename, Line: 1, Column: 1, Problem: Problem{
			Message: fmt.Sprintf("the file holds %d rollouts where one belongs", len(all)),
			Mend:    "keep one, or put the others into files of their own",
		}}}}
	}
	return all[0], nil
}

// ParseAll reads every document of a file, in YAML (separated by "---") or
// JSON, with its defaults filled in. On mistakes in any of them it returns a
// *FileError that lists all, sorted by position. Warnings, what is likely a
// mistake but can be run, are returned in either case.
//
// The catalog says which adapters there are. With a nil catalog every adapter
// is taken as it is written, undecoded and unchecked, and none is required:
// that is for programs that only judge, or only read plans.
func ParseAll(filename string, data []byte, catalog Catalog) (rollouts []*Rollout, warnings []Located, err error) {
	roots, problems := readDocuments(filename, data)
	first := map[string]place{}
	for _, root := range roots {
		d := newDecoder(filename, catalog)
		r := d.rollout(root)
		if at, name := d.placeOf("metadata.name"), r.Metadata.Namespace+"/"+r.Metadata.Name; r.Metadata.Name != "" {
			if before, taken := first[name]; taken {
				d.report(Problem{Field: "metadata.name", Message: fmt.Sprintf("%q is the name of two rollouts, first at %d:%d", r.Metadata.Name, before.line, before.column), Mend: "give one of them another name"})
			} else {
				first[name] = at
			}
		}
		rollouts = append(rollouts, r)
		problems = append(problems, d.found...)
	}
	mistakes, warnings := apart(sortLocated(problems))
	if len(mistakes) > 0 {
		return nil, warnings, &FileError{Problems: mistakes}
	}
	return rollouts, warnings, nil
}

// rollout decodes one document, fills in what it leaves out and validates it.
func (d *decoder) rollout(root *node) *Rollout {
	r := newRollout()
	d.places[""] = root.place()
	if !d.declared(root) {
		return r
	}
	d.decode(root, "", reflect.ValueOf(r).Elem())
	d.fillDefaults(r)
	d.requireAdapters(r)
	var found []Problem
	for _, p := range validate(r, d.written, d.sound) {
		if d.fine(p.Field) {
			found = append(found, p)
		}
	}
	for _, p := range found { // only now: one problem of a field does not hide the next
		d.report(p)
	}
	for _, p := range d.unmeasured(r.Spec.Analysis.Checks) {
		if d.fine(p.Field) {
			d.report(p)
		}
	}
	return r
}

// declared checks that the document is a rollout at all, before anything else
// in it is held against a rollout's fields.
func (d *decoder) declared(root *node) bool {
	if root.shape != mappingShape {
		d.problem(root, "", "is "+root.describe(false)+" where a rollout belongs", emptyMend)
		return false
	}
	ok := true
	for _, want := range []struct{ field, value string }{{"apiVersion", APIVersion}, {"kind", Kind}} {
		found := false
		for _, en := range root.entries {
			if en.key != want.field {
				continue
			}
			if found = true; en.value.shape != scalarShape || en.value.text != want.value {
				d.problem(en.value, want.field, en.value.describe(false)+" is not known", "write "+want.field+": "+want.value)
				ok = false
			}
		}
		if !found {
			d.problem(root, want.field, "is missing", "add "+want.field+": "+want.value)
			ok = false
		}
	}
	return ok
}

// requireAdapters reports the ports that have no default and name no adapter.
func (d *decoder) requireAdapters(r *Rollout) {
	if d.catalog == nil {
		return
	}
	for _, port := range []struct {
		name    Port
		adapter Adapter
		says    string
	}{
		{WorkloadPort, r.Spec.Workload, "does not say what is released"},
		{TrafficPort, r.Spec.Traffic, "does not say how requests are split"},
	} {
		path := "spec." + string(port.name)
		if port.adapter.IsZero() && d.sound(path) && !d.reported("spec") {
			d.report(Problem{Field: path, Message: port.says, Mend: "write " + d.kindsToWrite(port.name) + " below it"})
		}
	}
}

func apart(all []Located) (mistakes, warnings []Located) {
	for _, p := range all {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			mistakes = append(mistakes, p)
		}
	}
	return mistakes, warnings
}
