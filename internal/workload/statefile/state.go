package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Save writes a value that Load reads back. It survives a power cut.
func Save(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("saving %s: %w", path, err)
	}
	return Replace(path, data, true)
}

// Load reads a value and reports whether there was one. format is the newest form
// that this program knows, as the value's "format" says; whole says whether
// everything is there that such a value always has.
func Load[T any](path string, format int, whole func(T) bool) (value T, found bool, err error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return value, false, nil
	case err != nil:
		return value, false, err
	}
	var form struct {
		Format int `json:"format"`
	}
	if err = errors.Join(json.Unmarshal(data, &value), json.Unmarshal(data, &form)); err == nil && !whole(value) {
		err = errors.New("something is missing in it")
	}
	switch {
	case form.Format > format:
		return value, false, fmt.Errorf("%s was written by a newer Serin (format %d, this one knows %d); use that one", path, form.Format, format)
	case err != nil:
		return value, false, fmt.Errorf("%s is damaged; move it away to begin anew (%w)", path, err)
	}
	return value, true, nil
}
