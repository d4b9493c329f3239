package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// Vector is a list of numbers that is written as the base64 of their bits:
// a third of the size of decimals, and the same numbers when read back.
type Vector []float64

func (v Vector) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

func (v *Vector) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("vector: %w", err)
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("vector: %d bytes are no whole numbers; the state was cut", len(raw))
	}
	*v = make(Vector, len(raw)/8)
	for i := range *v {
		(*v)[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return nil
}

// slab is one piece of memory for the copies of many vectors.
type slab []float64

// clone returns a copy of v from the slab.
func (s *slab) clone(v Vector) Vector {
	switch n := len(v); {
	case v == nil:
		return nil
	case n > len(*s):
		return v.clone()
	default:
		c := (*s)[:n:n]
		*s = (*s)[n:]
		copy(c, v)
		return Vector(c)
	}
}

// clone returns a copy.
func (v Vector) clone() Vector {
	if v == nil {
		return nil
	}
	return append(make(Vector, 0, len(v)), v...)
}
