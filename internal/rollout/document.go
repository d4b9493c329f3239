package rollout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds on what is read. A real file has a few hundred values; the bounds
// keep a hostile one from costing more than a moment.
const (
	maxFileSize  = 1 << 20
	maxDocuments = 1000
	maxNodes     = 100_000 // in one document, after aliases are expanded
	maxDepth     = 64
)

type shape int

const (
	scalarShape shape = iota
	mappingShape
	sequenceShape
)

// node is one value of a document with its place. Aliases and merge keys are
// already expanded, and mappings have distinct keys.
type node struct {
	shape        shape
	tag          string // of a scalar, as YAML writes it: "!!str", "!!int", …
	text         string // of a scalar, without quotes
	entries      []entry
	items        []*node
	line, column int
}

// entry is one key of a mapping and its value.
type entry struct {
	key          string
	line, column int
	value        *node
}

func (n *node) isNull() bool { return n.shape == scalarShape && n.tag == "!!null" }

// readDocuments reads every document of a file that is not empty.
func readDocuments(file string, data []byte) ([]*node, []Located) {
	fail := func(line, column int, message, mend string) []Located {
		return []Located{{Problem: Problem{Message: message, Mend: mend}, File: file, Line: line, Column: column}}
	}
	if len(data) > maxFileSize {
		return nil, fail(1, 1, fmt.Sprintf("the file has %d bytes, more than %d", len(data), maxFileSize), "split it into several files")
	}
	if line, column, ok := firstInvalidUTF8(data); ok {
		return nil, fail(line, column, "the file is not UTF-8 text", "save it in UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))

	var roots []*node
	var problems []Located
	take := func(y *yaml.Node) {
		e := expander{file: file}
		if root := e.expand(y, "", 1); root != nil {
			roots = append(roots, root)
		}
		problems = append(problems, e.problems...)
	}
	if root, ok := parseJSON(data); ok {
		take(root)
		return roots, problems
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for range maxDocuments {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			if len(roots) == 0 && len(problems) == 0 {
				return nil, fail(1, 1, "the file is empty", emptyMend)
			}
			return roots, problems
		}
		if err != nil {
			return roots, append(problems, syntaxProblem(file, data, err))
		}
		if len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null" {
			continue // nothing but comments
		}
		take(doc.Content[0])
	}
	return roots, append(problems, fail(1, 1, fmt.Sprintf("the file has more than %d documents", maxDocuments), "split it into several files")...)
}

var emptyMend = fmt.Sprintf("write a document that begins with apiVersion: %s and kind: %s", APIVersion, Kind)

// expander turns parsed YAML into nodes within the bounds.
type expander struct {
	file     string
	nodes    int
	problems []Located
	gaveUp   bool
}

func (e *expander) problem(at *yaml.Node, path, message, mend string) {
	e.problems = append(e.problems, Located{Problem: Problem{Field: clip(path), Message: clip(message), Mend: mend}, File: e.file, Line: max(1, at.Line), Column: max(1, at.Column)})
}

// expand returns nil when the value cannot be used; then a problem was noted.
func (e *expander) expand(y *yaml.Node, path string, depth int) *node {
	if e.gaveUp {
		return nil
	}
	if e.nodes++; e.nodes > maxNodes {
		e.gaveUp = true
		e.problem(y, beginning(path), fmt.Sprintf("the document has more than %d values once its aliases are expanded", maxNodes), "use fewer aliases")
		return nil
	}
	if depth > maxDepth {
		e.gaveUp = true
		e.problem(y, beginning(path), fmt.Sprintf("the document is nested more than %d deep", maxDepth), "nest it less; an alias must not contain itself")
		return nil
	}
	switch y.Kind {
	case yaml.AliasNode:
		return e.expand(y.Alias, path, depth+1)
	case yaml.MappingNode:
		return e.expandMapping(y, path, depth)
	case yaml.SequenceNode:
		n := &node{shape: sequenceShape, line: y.Line, column: y.Column}
		if !e.plainTag(y, path, "!!seq") {
			return nil
		}
		for i, c := range y.Content {
			item := e.expand(c, fmt.Sprintf("%s[%d]", path, i), depth+1)
			if item == nil {
				return nil
			}
			n.items = append(n.items, item)
		}
		return n
	default:
		if !e.plainTag(y, path, "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge") {
			return nil
		}
		tag := y.ShortTag()
		if tag == "!!timestamp" || tag == "!!merge" {
			tag = "!!str" // YAML 1.2 knows neither: they are text
		}
		return &node{shape: scalarShape, tag: tag, text: y.Value, line: y.Line, column: y.Column}
	}
}

// beginning returns where in a document a path that goes too deep begins.
func beginning(path string) string {
	const enough = 40
	if len(path) <= enough {
		return path
	}
	return strings.ToValidUTF8(path[:enough], "") + "…"
}

func (e *expander) plainTag(y *yaml.Node, path string, allowed ...string) bool {
	tag := y.ShortTag()
	for _, a := range allowed {
		if tag == a {
			return true
		}
	}
	e.problem(y, path, fmt.Sprintf("has the tag %s, which means nothing here", tag), "remove the tag")
	return false
}

func (e *expander) expandMapping(y *yaml.Node, path string, depth int) *node {
	if !e.plainTag(y, path, "!!map") {
		return nil
	}
	n := &node{shape: mappingShape, line: y.Line, column: y.Column}
	first := map[string]*yaml.Node{}
	var merged []*node
	usable := true
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			e.problem(k, path, "a key is not plain text", "write a field's name; a value that begins with { or [ needs quotes")
			usable = false
			continue
		}
		if k.ShortTag() == "!!merge" {
			m := e.expand(v, path, depth+1)
			if m == nil {
				usable = false
				continue
			}
			merged = append(merged, m)
			continue
		}
		if before, ok := first[k.Value]; ok {
			e.problem(k, joinPath(path, k.Value), fmt.Sprintf("is written twice, first at %d:%d", before.Line, before.Column), "keep one")
			usable = false
			continue
		}
		first[k.Value] = k
		value := e.expand(v, joinPath(path, k.Value), depth+1)
		if value == nil {
			usable = false
			continue
		}
		n.entries = append(n.entries, entry{key: k.Value, line: k.Line, column: k.Column, value: value})
	}
	for _, m := range merged {
		if !e.merge(n, m, path, first) {
			usable = false
		}
	}
	if !usable {
		return nil
	}
	return n
}

// merge adds the entries of m that n does not have: what is written in the
// mapping itself wins over what is merged into it.
func (e *expander) merge(n, m *node, path string, first map[string]*yaml.Node) bool {
	switch m.shape {
	case mappingShape:
		for _, en := range m.entries {
			if _, ok := first[en.key]; !ok {
				first[en.key] = &yaml.Node{Line: en.line, Column: en.column}
				n.entries = append(n.entries, en)
			}
		}
		return true
	case sequenceShape:
		for _, item := range m.items {
			if item.shape != mappingShape || !e.merge(n, item, path, first) {
				e.problem(&yaml.Node{Line: item.line, Column: item.column}, path, "<< can merge mappings only", "point it at an anchored mapping, such as <<: *name")
				return false
			}
		}
		return true
	}
	e.problem(&yaml.Node{Line: m.line, Column: m.column}, path, "<< can merge mappings only", "point it at an anchored mapping, such as <<: *name")
	return false
}

func firstInvalidUTF8(data []byte) (line, column int, found bool) {
	if utf8.Valid(data) {
		return 0, 0, false
	}
	line, column = 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return line, column, true
}
