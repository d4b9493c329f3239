package file

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// place returns the path of a file below the folder, or says why the names
// cannot make one.
func place(rollout, run, name string) (string, error) {
	for what, element := range map[string]string{"rollout": rollout, "run": run} {
		if strings.Contains(element, "/") || strings.HasPrefix(element, ".") || !portable(element) {
			return "", fmt.Errorf("archive: %q cannot be the name of a %s; use letters, digits, dots and dashes", element, what)
		}
	}
	if !portable(name) || name == "." {
		return "", fmt.Errorf("archive: %q cannot be the name of a file; use a relative path without .. or empty parts", name)
	}
	return path.Join(rollout, run, name), nil
}

func portable(name string) bool {
	return fs.ValidPath(name) && filepath.IsLocal(name) && !strings.ContainsAny(name, "\\\x00") && strings.IndexFunc(name, isControl) < 0
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
