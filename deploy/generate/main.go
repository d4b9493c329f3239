// Command generate writes the plain manifests and the Helm chart from the same
// objects that `serin install` applies.
//
//go:generate go run . -dir ..
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/install"
)

func main() {
	dir := flag.String("dir", "deploy", "folder to write manifests and helm to")
	version := flag.String("version", install.Unreleased, "version that the manifests install")
	flag.Parse()
	if err := generate(*dir, *version); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(dir, version string) error {
	o := install.Options{Version: version, Policy: install.NewestPolicy, Rules: app.Permissions()}
	all, err := install.Objects(o)
	if err != nil {
		return err
	}
	definitions := install.OfKind(all, "CustomResourceDefinition")
	var rest []install.Object
	for _, obj := range all {
		if obj.GetKind() != "CustomResourceDefinition" {
			rest = append(rest, obj)
		}
	}
	files := map[string][]byte{}
	for name, objects := range map[string][]install.Object{"crds.yaml": definitions, "serin.yaml": rest} {
		data, err := install.YAML(objects)
		if err != nil {
			return err
		}
		files[filepath.Join("manifests", name)] = append([]byte("# Generated from internal/install by `make generate`; do not edit.\n"), data...)
	}
	chart, err := install.Chart(o)
	if err != nil {
		return err
	}
	for name, data := range chart {
		files[filepath.Join("helm", "serin", filepath.FromSlash(name))] = data
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the repository's files
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // the repository's files
			return err
		}
	}
	return nil
}
