package arms

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Writer names who wrote a field last, with the time; empty when that was Serin
// or cannot be told. A field that Serin and others own with the same value
// counts as Serin's.
func Writer(managed []metav1.ManagedFieldsEntry, path ...string) string {
	var last *metav1.ManagedFieldsEntry
	for i, entry := range managed {
		if entry.Subresource != "" || entry.FieldsV1 == nil || !owns(entry.FieldsV1, path) {
			continue
		}
		if entry.Manager == serinv1.FieldManager {
			return ""
		}
		if last == nil || last.Time == nil || entry.Time != nil && last.Time.Before(entry.Time) {
			last = &managed[i]
		}
	}
	switch {
	case last == nil:
		return ""
	case last.Time == nil:
		return last.Manager
	}
	return last.Manager + " at " + last.Time.UTC().Format(time.RFC3339)
}

// owns reports whether a set of fields has a field, or one below it.
func owns(set *metav1.FieldsV1, path []string) bool {
	raw, err := json.Marshal(set)
	for _, name := range path {
		var fields map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(raw, &fields)
		}
		below, has := fields["f:"+name]
		if err != nil || !has {
			return false
		}
		raw = below
	}
	return true
}
