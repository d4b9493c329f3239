package statefile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/workload/statefile"
	"serin.dev/serin/internal/workload/workloadtest"
)

// While a disk hangs nobody waits for it, and when it goes on every file is what
// it was to be last.
func TestWhileADiskHangsNobodyWaitsAndTheLatestIsWritten(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	w := &statefile.Writer{}
	fail := func(err error) { t.Error(err) }
	for _, name := range []string{"a", "b", "gone"} {
		w.Await(w.Replace(file(name), []byte("before"), true, fail))
	}
	w.Drain()
	goOn := workloadtest.Hang(t, file("a"))

	first := w.Replace(file("a"), []byte("first"), true, fail)
	w.Await(first)
	begun := time.Now()
	var all []<-chan struct{}
	for range 1000 {
		all = append(all,
			w.Replace(file("b"), []byte("behind"), false, fail),
			w.Save(file("a"), "last", fail),
			w.Replace(file("b"), []byte("last"), true, fail),
			w.Replace(file("gone"), []byte("behind"), true, fail),
			w.Remove(file("gone"), fail),
		)
		w.Await(all[len(all)-1])
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("5000 changes waited %s for a disk that hangs", took)
	}
	select {
	case <-first:
		t.Error("what hangs is said to be written")
	default:
	}
	if got := content(t, file("b")); got != "before" {
		t.Errorf("b is %q before its turn", got)
	}

	goOn()
	w.Drain()
	for _, done := range append(all, first) {
		<-done
	}
	if a, b := content(t, file("a")), content(t, file("b")); a != `"last"` || b != "last" {
		t.Errorf("the files hold %q and %q, want the last of each", a, b)
	}
	if _, err := os.Stat(file("gone")); !os.IsNotExist(err) {
		t.Errorf("what was to be removed last: %v", err)
	}
}

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	w := &statefile.Writer{}
	told := map[string]string{}
	put := func(name string, do func(fail func(error)) <-chan struct{}) {
		<-do(func(err error) { told[name] = err.Error() })
	}
	nowhere := filepath.Join(t.TempDir(), "missing", "state.json")
	put("replace", func(fail func(error)) <-chan struct{} { return w.Replace(nowhere, nil, false, fail) })
	put("save", func(fail func(error)) <-chan struct{} { return w.Save(nowhere, func() {}, fail) })
	put("remove", func(fail func(error)) <-chan struct{} { return w.Remove(filepath.Dir(nowhere)+"\x00", fail) })
	for _, name := range []string{"replace", "save", "remove"} {
		if told[name] == "" || name != "remove" && !strings.Contains(told[name], nowhere) {
			t.Errorf("%s: told %q, want an error that names the file", name, told[name])
		}
	}
}
