package machine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// line is what the tests read of a record's lines.
type line struct {
	Record       int       `json:"record"`
	At           time.Time `json:"at"`
	Tick         string    `json:"tick"`
	Decision     string    `json:"decision"`
	Phase        int       `json:"phase"`
	Weight       *int      `json:"weight"`
	Effect       string    `json:"effect"`
	Detail       string    `json:"detail"`
	Gate         string    `json:"gate"`
	Passed       bool      `json:"passed"`
	Notification string    `json:"notification"`
	Delivered    bool      `json:"delivered"`
	Because      []struct {
		Rule    string `json:"rule"`
		Check   string `json:"check"`
		Verdict string `json:"verdict"`
		Message string `json:"message"`
	} `json:"because"`
}

// archived returns the folders of archived runs, the oldest first.
func (h *home) archived() []string {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(h.state, "archive", "shop", "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// archivedRun returns the folder of the one archived run.
func (h *home) archivedRun() string {
	h.t.Helper()
	found := h.archived()
	if len(found) != 1 {
		h.t.Fatalf("%d runs are archived where one was made: %v", len(found), found)
	}
	return found[0]
}

// recordOf reads the record of an archived run.
func recordOf(t *testing.T, dir string) []line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "record.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("%v in %s", err, scan.Text())
		}
		lines = append(lines, l)
	}
	return lines
}

// firstDecision returns the first decision of a kind.
func firstDecision(lines []line, kind string) (line, bool) {
	for _, l := range lines {
		if l.Decision == kind {
			return l, true
		}
	}
	return line{}, false
}

// why is everything that a decision gives as its reasons.
func (l line) why() string {
	var all []string
	for _, b := range l.Because {
		all = append(all, strings.Join([]string{b.Rule, b.Check, b.Verdict, b.Message}, " "))
	}
	return strings.Join(all, "; ")
}

// replays asserts that a record comes out the same.
func (h *home) replays(dir string) {
	h.t.Helper()
	h.must("replay", filepath.Join(dir, "record.jsonl"))
}

// holds asserts that a folder has a file that is not empty.
func holds(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Errorf("%s has no %s", dir, pattern)
		return ""
	}
	data, err := os.ReadFile(found[0])
	if err != nil || len(data) == 0 {
		t.Errorf("%s: %d bytes, %v", found[0], len(data), err)
	}
	return string(data)
}
