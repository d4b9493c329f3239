package rollout

import (
	"bytes"
	"encoding/json"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseJSON parses a JSON document into the nodes of the YAML parser; ok is
// false for anything else. JSON is nearly YAML, but not quite: the YAML parser
// refuses escaped surrogate pairs and some control characters.
func parseJSON(data []byte) (root *yaml.Node, ok bool) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(data) {
		return nil, false
	}
	r := jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	for i, b := range data {
		if b == '\n' {
			r.newlines = append(r.newlines, i)
		}
	}
	return r.value(), true
}

type jsonReader struct {
	data     []byte
	dec      *json.Decoder
	newlines []int // offsets
}

// value reads the next value of a valid document; nil at the end of a list.
func (r *jsonReader) value() *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = r.position()
	token, err := r.dec.Token()
	if err != nil {
		return nil // cannot happen: the document is valid
	}
	switch t := token.(type) {
	case json.Delim:
		switch t {
		case '{':
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		case '[':
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		default:
			return nil
		}
		for child := r.value(); child != nil; child = r.value() {
			n.Content = append(n.Content, child)
		}
	case string:
		n.Tag, n.Value = "!!str", t
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if t {
			n.Value = "true"
		}
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n
}

// position is the line and column of the token that is read next.
func (r *jsonReader) position() (line, column int) {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	line = sort.SearchInts(r.newlines, at)
	if line == 0 {
		return 1, at + 1
	}
	return line + 1, at - r.newlines[line-1]
}
