package rollout

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

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
	return r.value(), true
}

type jsonReader struct {
	data []byte
	dec  *json.Decoder
	// at is the offset of the last position asked for, line and column where
	// that is, from 0.
	at, line, column int
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
	between := r.data[r.at:at]
	if newline := bytes.LastIndexByte(between, '\n'); newline >= 0 {
		r.line += bytes.Count(between, []byte("\n"))
		r.column = 0
		between = between[newline+1:]
	}
	r.at, r.column = at, r.column+utf8.RuneCount(between)
	return r.line + 1, r.column + 1
}
