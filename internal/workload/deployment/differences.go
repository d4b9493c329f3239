package deployment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/workload"
)

// Bounds of what is told of two templates: how many differences, and how many
// bytes of each value.
const (
	mostDifferences = 50
	valueBytes      = 200
)

// Differences implements workload.Witness: what differs between the two
// versions' pod templates. Of an environment and of annotations it tells which
// have changed and never their values, which may be secrets.
func (w *Workload) Differences(ctx context.Context) ([]workload.Difference, error) {
	stable, err := w.set(ctx, w.run.Stable.ReplicaSet)
	if err != nil {
		return nil, err
	}
	if stable == nil {
		return nil, fmt.Errorf("the ReplicaSet %s/%s of the version that serves is not there", w.env.Namespace, w.run.Stable.ReplicaSet)
	}
	canary, err := w.set(ctx, w.run.Canary.ReplicaSet)
	switch {
	case err != nil:
		return nil, err
	case canary != nil:
		return differences(stable.Spec.Template, canary.Spec.Template)
	}
	// It was never made; the Deployment has what it would have been.
	d, err := w.deployment(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := w.asked(d, nil)
	if err != nil {
		return nil, err
	}
	if !asked {
		return nil, errors.New("the Deployment asks for another template by now")
	}
	return differences(stable.Spec.Template, d.Spec.Template)
}

// differences lists what differs between two templates, by field.
func differences(stable, canary corev1.PodTemplateSpec) ([]workload.Difference, error) {
	var out []workload.Difference
	var plain [2]map[string]any
	for i, t := range []corev1.PodTemplateSpec{stable, canary} {
		var err error
		if plain[i], err = runtime.DefaultUnstructuredConverter.ToUnstructured(t.DeepCopy()); err != nil {
			return nil, fmt.Errorf("read a pod template: %w", err)
		}
		if metadata, ok := plain[i]["metadata"].(map[string]any); ok {
			delete(metadata, "creationTimestamp")
			if labels, ok := metadata["labels"].(map[string]any); ok {
				delete(labels, serinv1.HashLabel)
			}
		}
	}
	compare("", plain[0], plain[1], &out)
	if more := len(out) - mostDifferences; more > 0 {
		out = append(out[:mostDifferences], workload.Difference{What: fmt.Sprintf("%d more fields", more)})
	}
	return out, nil
}

// compare adds what differs between a and b, which are what JSON knows or nil.
func compare(at string, a, b any, out *[]workload.Difference) {
	first, isMap := named(a)
	second, isMapToo := named(b)
	if (isMap || a == nil) && (isMapToo || b == nil) && (isMap || isMapToo) {
		both := maps.Clone(first)
		if both == nil {
			both = map[string]any{}
		}
		maps.Copy(both, second)
		for _, k := range slices.Sorted(maps.Keys(both)) {
			compare(below(at, k), first[k], second[k], out)
		}
		return
	}
	x, y := text(a), text(b)
	if x == y {
		return
	}
	if secret(at) {
		x, y = masked(a, "a value"), masked(b, "another value")
		if a == nil {
			y = "a value"
		}
	}
	*out = append(*out, workload.Difference{What: strings.TrimPrefix(strings.TrimPrefix(at, "spec."), "metadata."), Stable: short(x), Canary: short(y)})
}

// named returns what has names: a map, or a list whose entries have a name
// each, as containers and their variables do.
func named(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case []any:
		entries := map[string]any{}
		for _, entry := range v {
			m, _ := entry.(map[string]any)
			name, ok := m["name"].(string)
			if !ok || entries["["+name+"]"] != nil {
				return nil, false
			}
			rest := maps.Clone(m)
			delete(rest, "name")
			entries["["+name+"]"] = rest
		}
		return entries, len(entries) > 0
	}
	return nil, false
}

func below(at, name string) string {
	if at == "" || strings.HasPrefix(name, "[") {
		return at + name
	}
	return at + "." + name
}

// secret reports that the values of a field are nobody's business: those of a
// variable, of a header, and of annotations.
func secret(at string) bool {
	return strings.HasSuffix(at, "].value") || strings.HasPrefix(at, "metadata.annotations.") ||
		// Lists with the same name twice are compared whole.
		strings.HasSuffix(at, ".env") || strings.HasSuffix(at, ".httpHeaders")
}

func masked(v any, as string) string {
	if v == nil {
		return ""
	}
	return as
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// short cuts a value at a character's start.
func short(s string) string {
	if len(s) <= valueBytes {
		return s
	}
	end := valueBytes
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
