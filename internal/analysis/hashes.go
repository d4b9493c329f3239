package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// hashes is a sorted set of hashes, written as the base64 of its bytes.
type hashes []uint64

func (h hashes) has(x uint64) bool {
	_, ok := slices.BinarySearch(h, x)
	return ok
}

// with returns the set with more in it.
func (h hashes) with(more []uint64) hashes {
	if len(more) == 0 {
		return h
	}
	all := append(slices.Clone(h), more...)
	slices.Sort(all)
	return slices.Compact(all)
}

// without returns the set without one.
func (h hashes) without(x uint64) hashes {
	at, ok := slices.BinarySearch(h, x)
	if !ok {
		return h
	}
	return slices.Delete(slices.Clone(h), at, at+1)
}

func (h hashes) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 8*len(h))
	for _, x := range h {
		raw = binary.LittleEndian.AppendUint64(raw, x)
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

func (h *hashes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("hashes: %d bytes are no whole hashes; the state was cut", len(raw))
	}
	*h = make(hashes, len(raw)/8)
	for i := range *h {
		(*h)[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return nil
}
