package rollout

import "strings"

// soundness remembers which fields were found wrong, so that one mistake is
// reported once and rules do not judge values that are not the user's.
type soundness struct {
	// wrong holds the fields with a mistake of their own, around the groups
	// that contain one, themselves included.
	wrong, around map[string]bool
}

func newSoundness() soundness {
	return soundness{wrong: map[string]bool{}, around: map[string]bool{}}
}

// mark notes a mistake at path.
func (s soundness) mark(path string) {
	s.wrong[path] = true
	for {
		s.around[path] = true
		if path == "" {
			return
		}
		path = parent(path)
	}
}

// sound reports whether no mistake was found at or below path so far.
func (s soundness) sound(path string) bool { return !s.around[path] }

// reported reports whether a mistake was found at path itself.
func (s soundness) reported(path string) bool { return s.wrong[path] }

// fine reports whether no mistake was found at or below path, nor in a group
// around it as a whole.
func (s soundness) fine(path string) bool {
	if !s.sound(path) {
		return false
	}
	for path != "" {
		if path = parent(path); path != "" && s.reported(path) {
			return false
		}
	}
	return true
}

// parent returns the path of the group or list around a field, "" for the
// document.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
