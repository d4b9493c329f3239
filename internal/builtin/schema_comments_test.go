package builtin_test

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// sourceComments collects the doc comments of the types that a file can
// configure: structs with json tags in the vocabulary and in the adapters.
func sourceComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, folder := range []string{"rollout", "credential", "workload", "traffic", "metrics", "gate", "notify", "archive"} {
		err := filepath.WalkDir(filepath.Join("..", folder), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(filepath.Dir(file), "test") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			pkg := path.Join("serin.dev/serin/internal/builtin", filepath.ToSlash(filepath.Dir(file)))
			collect(parsed, pkg, comments)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Files of scenarios have a schema too.
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "simulate", "scenario.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	collect(parsed, "serin.dev/serin/internal/simulate", comments)
	return comments
}

// inFile holds the names of the vocabulary's types that a file can configure;
// the others are no concern of the schema.
func inFile() map[string]bool {
	names := map[string]bool{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(t.Elem())
		case reflect.Struct:
			if names[t.Name()] {
				return
			}
			names[t.Name()] = true
			for i := range t.NumField() {
				visit(t.Field(i).Type)
			}
		}
	}
	visit(reflect.TypeFor[rollout.Rollout]())
	return names
}

func collect(file *ast.File, pkg string, comments map[string]string) {
	vocabulary := inFile()
	note := func(key string, docs ...*ast.CommentGroup) {
		for _, doc := range docs {
			if text := strings.Join(strings.Fields(doc.Text()), " "); text != "" {
				comments[key] = text
				return
			}
		}
	}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.TypeSpec)
			structure, ok := typ.Type.(*ast.StructType)
			if !ok || !typ.Name.IsExported() || pkg == reflect.TypeFor[rollout.Rollout]().PkgPath() && !vocabulary[typ.Name.Name] {
				continue
			}
			tagged := false
			// A comment also tells of the fields below it that have none.
			above := typ.Doc
			if above == nil {
				above = gen.Doc
			}
			for _, field := range structure.Fields.List {
				if field.Doc != nil {
					above = field.Doc
				}
				if field.Tag == nil || !strings.Contains(field.Tag.Value, `json:"`) {
					continue
				}
				tagged = true
				for _, name := range field.Names {
					note(pkg+"."+typ.Name.Name+"."+name.Name, field.Doc, field.Comment, above)
				}
			}
			if tagged {
				note(pkg+"."+typ.Name.Name, typ.Doc, gen.Doc)
			}
		}
	}
}

func TestSchemaCommentsAreThoseOfTheSource(t *testing.T) {
	got, err := json.MarshalIndent(sourceComments(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "schema_comments.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not what the source says; run go generate ./internal/builtin", file)
	}
}
