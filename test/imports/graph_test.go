// Package imports holds the tests of the import graph: arrows point inward
// only, and a new adapter is one folder and one line in builtin.
package imports

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const module = "serin.dev/serin/"

// pkg is a package of this module as `go list` describes it. Paths inside the
// module are without its name: "internal/engine".
type pkg struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list returns every package of the module, with the tests that need a cluster.
func list(t *testing.T) []pkg {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Tests that need the real thing have the tag plane, and count all the same.
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-tags", "plane", "-tags=plane", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		p.ImportPath = inside(p.ImportPath)
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for i := range list {
				list[i] = inside(list[i])
			}
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func inside(path string) string { return strings.TrimPrefix(path, module) }

func ours(path string) bool {
	return strings.HasPrefix(path, "internal/") || strings.HasPrefix(path, "cmd/") ||
		strings.HasPrefix(path, "api/") || strings.HasPrefix(path, "test/")
}

// tests returns what a package's tests import.
func (p pkg) tests() []string { return slices.Concat(p.TestImports, p.XTestImports) }
