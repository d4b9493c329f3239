package statefile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serin.dev/serin/internal/workload/statefile"
)

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data)%4096 != 0 {
		t.Errorf("the file has %d bytes, no whole blocks", len(data))
	}
	return string(bytes.TrimRight(data, " \n"))
}

func TestContentIsReplacedAlsoWhereNoNewFileCanBe(t *testing.T) {
	for name, block := range map[string]func(t *testing.T, beside string){
		"room":      func(*testing.T, string) {},
		"no name":   func(t *testing.T, beside string) { must(t, os.MkdirAll(filepath.Join(beside, "x"), 0o700)) },
		"disk full": func(t *testing.T, beside string) { must(t, os.Symlink("/dev/full", beside)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			must(t, statefile.Replace(path, []byte(strings.Repeat("long ", 1000)), true))
			for _, text := range []string{"first", strings.Repeat("longer ", 700), "short"} {
				block(t, path+".new")
				must(t, statefile.Replace(path, []byte(text), true))
				if got := content(t, path); got != strings.TrimRight(text, " ") {
					t.Fatalf("content is %.40q, want %.40q", got, text)
				}
				must(t, os.RemoveAll(path+".new"))
				must(t, statefile.Replace(path, []byte(strings.Repeat("long ", 1000)), true))
			}
		})
	}
}

func TestWhatDoesNotFitIsRefusedAndTheOldStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	must(t, statefile.Replace(path, []byte("old"), false))
	must(t, os.MkdirAll(filepath.Join(path+".new", "x"), 0o700))
	err := statefile.Replace(path, bytes.Repeat([]byte("x"), 5000), false)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one that names the file", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("content is %.40q, want the old", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type kept struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
}

func TestWhatIsSavedIsLoadedAndWhatIsNotWholeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	load := func() (kept, bool, error) {
		return statefile.Load(path, 2, func(k kept) bool { return k.Name != "" })
	}
	if _, found, err := load(); found || err != nil {
		t.Errorf("without a file: %t, %v", found, err)
	}
	if err := statefile.Save(path, kept{2, "v1"}); err != nil {
		t.Fatal(err)
	}
	if got, found, err := load(); !found || err != nil || got != (kept{2, "v1"}) {
		t.Errorf("loaded %+v, %t, %v", got, found, err)
	}
	for content, want := range map[string]string{
		`{"format":3,"name":{"first":"v1"}}`: "written by a newer Serin (format 3, this one knows 2)",
		`{"format":2,"na`:                    "is damaged; move it away",
		`{"format":2}`:                       "is damaged; move it away",
		"":                                   "is damaged; move it away",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, found, err := load(); found || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %t, %v, want an error with %q", content, found, err, want)
		}
	}
}
