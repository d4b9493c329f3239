package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// json encodes the node as JSON, for types that read themselves.
func (n *node) json() ([]byte, error) {
	var b bytes.Buffer
	if err := n.appendJSON(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (n *node) appendJSON(b *bytes.Buffer) error {
	switch n.shape {
	case mappingShape:
		b.WriteByte('{')
		for i, en := range n.entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSONText(b, en.key)
			b.WriteByte(':')
			if err := en.value.appendJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	case sequenceShape:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.appendJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	switch n.tag {
	case "!!null":
		b.WriteString("null")
	case "!!bool":
		b.WriteString(strings.ToLower(n.text))
	case "!!int", "!!float":
		f, err := n.number()
		if err != nil {
			return err
		}
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			b.WriteString(strconv.FormatInt(i, 10))
			return nil
		}
		b.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
	default:
		writeJSONText(b, n.text)
	}
	return nil
}

func writeJSONText(b *bytes.Buffer, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	b.Write(text)
}

// number reads a decimal number. YAML's octal, hexadecimal, infinite and
// underscored numbers are refused: JSON and the schema do not have them.
func (n *node) number() (float64, error) {
	f, err := strconv.ParseFloat(n.text, 64)
	decimal := strings.Trim(n.text, "0123456789+-.eE") == "" && !octalLike(n.text)
	if n.shape != scalarShape || n.tag != "!!int" && n.tag != "!!float" || err != nil || !decimal || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("is not a decimal number; write one such as 2 or 0.5")
	}
	return f, nil
}

// octalLike reports whether a number begins with a zero that YAML 1.1 takes
// for octal and YAML 1.2 does not: nobody can tell what was meant.
func octalLike(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
}
