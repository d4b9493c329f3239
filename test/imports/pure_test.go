package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pureStd is what the pure rooms may use of the standard library: nothing that
// reads a clock, a file, the network, the environment or chance.
var pureStd = []string{
	"bufio", "bytes", "cmp", "encoding", "encoding/base64", "encoding/binary", "encoding/json", "errors", "fmt", "io",
	"iter", "maps", "math", "math/bits", "reflect", "regexp", "slices", "sort", "strconv", "strings", "text/tabwriter",
	"time", "unicode", "unicode/utf8",
}

// pureModules is what single rooms may use of other modules.
var pureModules = map[string][]string{
	"internal/rollout": {"go.yaml.in/yaml/v3"}, // the file's syntax
}

// forbidden are calls that an allowed package offers and a pure room must not
// make.
var forbidden = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "LoadLocation", "Local"},
	"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

func TestPureRoomsStayPure(t *testing.T) {
	rooms := 0
	for _, p := range list(t) {
		if layerOf(p.ImportPath) != pure {
			continue
		}
		rooms++
		for _, to := range p.Imports {
			if !ours(to) && !slices.Contains(pureStd, to) && !slices.Contains(pureModules[p.ImportPath], to) {
				t.Errorf("%s imports %s: a pure room has no I/O, clock, goroutine or randomness; hand the value in", p.ImportPath, to)
			}
		}
		for _, file := range p.GoFiles {
			fset := token.NewFileSet()
			tree, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range impurities(fset, tree) {
				t.Errorf("%s/%s", p.ImportPath, c)
			}
		}
	}
	if rooms < len(pureRooms) {
		t.Errorf("found %d of the %d pure rooms", rooms, len(pureRooms))
	}
}

// impurities lists what a file does that a pure room must not.
func impurities(fset *token.FileSet, tree *ast.File) []string {
	var found []string
	say := func(n ast.Node, format string, args ...any) {
		at := fset.Position(n.Pos())
		found = append(found, fmt.Sprintf("%s:%d: %s", filepath.Base(at.Filename), at.Line, fmt.Sprintf(format, args...)))
	}
	names := map[string]string{} // how a file calls the packages it imports
	for _, im := range tree.Imports {
		path := strings.Trim(im.Path.Value, `"`)
		if im.Name != nil {
			names[im.Name.Name] = path
		} else {
			names[path[strings.LastIndex(path, "/")+1:]] = path
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			say(n, "starts a goroutine; return what is to be done and let a shell do it")
		case *ast.SelectStmt, *ast.SendStmt:
			say(n, "waits for a channel; a pure room decides at once from what it is given")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(forbidden[names[x.Name]], n.Sel.Name) {
				say(n, "uses %s.%s; take the time, or the writer, as an argument", x.Name, n.Sel.Name)
			}
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				say(n, "has an init function; call it where it is needed")
			}
		}
		return true
	})
	return found
}

// The scan itself finds what it is there to find.
func TestImpuritiesAreFound(t *testing.T) {
	const source = `package p
import clock "time"
import "fmt"
func init() {}
func f(c chan int) {
	go f(c)
	_ = clock.Now()
	fmt.Println()
	c <- 1
	_ = fmt.Sprint()
	_ = clock.Second
}`
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := impurities(fset, tree)
	if len(found) != 5 {
		t.Errorf("found %d of 5: %s", len(found), strings.Join(found, "; "))
	}
}
