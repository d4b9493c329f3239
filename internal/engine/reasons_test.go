package engine_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Every reason that the engine can give is given in a scenario: a rule without
// a dialogue is a rule that nobody has watched.
func TestEveryReasonOccursInAScenario(t *testing.T) {
	var said strings.Builder
	files, err := filepath.Glob(filepath.Join(scenarios, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(text)
	}
	reasons := reasonsInTheCode(t)
	if len(reasons) < 25 {
		t.Fatalf("only %d reasons found in the code; are they given in another way now?", len(reasons))
	}
	for reason, where := range reasons {
		if !strings.Contains(said.String(), "("+reason+")") && !strings.Contains(said.String(), "("+reason+", for a person)") {
			t.Errorf("%s: no scenario in which the engine says %q; write one", where, reason)
		}
	}
}

// reasonsInTheCode finds the names that rules give their reasons.
func reasonsInTheCode(t *testing.T) map[string]token.Position {
	t.Helper()
	gives := map[string]bool{"note": true, "hold": true, "holdThenAsk": true, "holdOrRollBack": true, "wait": true}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]token.Position{}
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if ok && gives[name] {
				reason, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons[reason] = fset.Position(lit.Pos())
			}
			return true
		})
	}
	return reasons
}
