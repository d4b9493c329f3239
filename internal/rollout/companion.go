package rollout

import "reflect"

// DecodeFile decodes a file that is no rollout but belongs to one, such as a
// scenario of the simulator, as strictly as a rollout: unknown fields are errors,
// and every mistake has its file, line, field and mend. into points to a value
// that holds its defaults; check, when not nil, says what is wrong with it once
// it is decoded. The error is a *FileError.
func DecodeFile(filename string, data []byte, into any, check func() []Problem) error {
	roots, problems := readDocuments(filename, data)
	if len(roots) > 1 {
		problems = append(problems, Located{File: filename, Line: 1, Column: 1, Problem: Problem{
			Message: "the file holds several documents where one belongs", Mend: "put the others into files of their own",
		}})
	}
	if len(problems) == 0 && len(roots) == 1 {
		d := newDecoder(filename, nil)
		if d.decode(roots[0], "", reflect.ValueOf(into).Elem()) && check != nil {
			for _, p := range check() {
				d.report(p)
			}
		}
		problems = d.found
	}
	if mistakes, _ := apart(sortLocated(problems)); len(mistakes) > 0 {
		return &FileError{Problems: mistakes}
	}
	return nil
}

// Locate places problems that were found with a rollout after it was read: at
// their fields in the file's document with this index, or at the nearest field
// around them that was written.
func Locate(filename string, data []byte, document int, problems []Problem) []Located {
	roots, _ := readDocuments(filename, data)
	d := newDecoder(filename, nil)
	if document < len(roots) {
		d.rollout(roots[document])
	}
	d.found = nil
	for _, p := range problems {
		d.report(p)
	}
	return sortLocated(d.found)
}
