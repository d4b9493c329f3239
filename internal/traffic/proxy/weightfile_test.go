package proxy

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// hungFile is a file whose writes hang while somebody holds it.
type hungFile struct {
	file
	goesOn chan struct{}
}

func (f hungFile) WriteAt(p []byte, at int64) (int, error) {
	<-f.goesOn
	return f.file.WriteAt(p, at)
}

// The disk hangs while the weight changes twice: nobody waits for it, and once it
// goes on the latest weight is remembered.
func TestAWeightWaitsForNoDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "proxy.weight")
		w, _ := openWeightFile(path, false, slog.New(slog.DiscardHandler))
		w.write(remembered{known: true, weight: 5})
		before := w.revision()
		if before == "" {
			t.Fatal("the first weight has no revision")
		}
		disk := hungFile{w.f, make(chan struct{})}
		w.f = disk
		begun := time.Now()
		w.write(remembered{known: true, weight: 25})
		w.write(remembered{known: true})
		if took := time.Since(begun); took > 2*diskTime {
			t.Errorf("two changes took %s", took)
		}
		if now := w.revision(); now != "" {
			t.Errorf("what is not written down yet is told as revision %q", now)
		}
		close(disk.goesOn)
		synctest.Wait()
		if now := w.revision(); now == "" || now == before {
			t.Errorf("afterwards the revision is %q, and was %q before", now, before)
		}
		w.close()
		again, left := openWeightFile(path, false, slog.New(slog.DiscardHandler))
		defer again.close()
		if !left.known || left.weight != 0 {
			t.Errorf("remembered is %+v, want weight 0", left)
		}
	})
}
