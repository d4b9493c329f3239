package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serin.dev/serin/internal/report"
)

// A container that was ended for its memory is nothing the deciding reason has to
// say; the report says where to look all the same.
func TestAKillForMemoryIsNamedAmongTheCauses(t *testing.T) {
	rec, err := os.Open(filepath.Join("testdata", "crash.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	r, err := report.Read(rec, report.Evidence{Events: []string{"10:00:00 pod shop-a: container shop ended with status 137 (OOMKilled)"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Cause == nil || !strings.Contains(strings.Join(r.Cause.Where, "\n"), "more than its limit") {
		t.Errorf("the cause is %+v", r.Cause)
	}
}
