package rollout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

var update = flag.Bool("update", false, "rewrite the expected outputs under testdata")

// corpus returns the files of a folder of testdata, without expected outputs.
func corpus(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, pattern := range []string{"*.yaml", "*.json"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(p)] = data
		}
	}
	if len(files) == 0 {
		t.Fatalf("testdata/%s has no files", folder)
	}
	return files
}

// golden compares got with the expected output beside a file of the corpus.
func golden(t *testing.T, folder, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", folder, file+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test ./internal/rollout -update and review the difference", err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestMistakesAreReportedWithTheirPlaceAndMend(t *testing.T) {
	for file, data := range corpus(t, "bad") {
		t.Run(file, func(t *testing.T) {
			rollouts, warnings, err := rollout.ParseAll(file, data, rollouttest.Catalog())
			var fe *rollout.FileError
			if !errors.As(err, &fe) || rollouts != nil {
				t.Fatalf("accepted: %v", err)
			}
			for _, p := range fe.Problems {
				if p.File != file || p.Line < 1 || p.Column < 1 || p.Message == "" || p.Mend == "" {
					t.Errorf("a problem lacks its place, message or mend: %+v", p)
				}
				if lines := bytes.Count(data, []byte("\n")) + 1; p.Line > lines {
					t.Errorf("line %d of a file with %d lines", p.Line, lines)
				}
			}
			golden(t, "bad", file, err.Error()+"\n"+text(warnings))
			if _, err := rollout.Parse(file, data, rollouttest.Catalog()); err == nil {
				t.Error("Parse accepts what ParseAll refuses")
			}
		})
	}
}

func TestGoodFilesGetTheirDefaultsAndWarnings(t *testing.T) {
	for file, data := range corpus(t, "good") {
		t.Run(file, func(t *testing.T) {
			rollouts, warnings, err := rollout.ParseAll(file, data, rollouttest.Catalog())
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			out.WriteString(text(warnings))
			for _, r := range rollouts {
				data, err := json.MarshalIndent(r, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				out.Write(append(data, '\n'))
			}
			golden(t, "good", file, out.String())
		})
	}
}

func text(problems []rollout.Located) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
