// Package report turns the record of a finished run into what people read:
// Markdown and one self-contained HTML page.
//
// It is given the record's lines and the evidence gathered at a rollback. It
// must not know a store, an archive or a clock: the same record gives the same
// report.
package report

import "io"

// Evidence is what was gathered outside the record when a run rolled back, as
// evidence.json holds it. It never holds a secret: of the environment only the
// names that differ.
type Evidence struct {
	Changes     []Change  `json:"changes,omitempty"`
	LogExcerpts []Excerpt `json:"logExcerpts,omitempty"`
	// Events are process or pod events, oldest first.
	Events []string `json:"events,omitempty"`
	// Notes say what could not be gathered.
	Notes []string `json:"notes,omitempty"`
}

// Change is one difference between the two versions.
type Change struct {
	What   string `json:"what"`
	Stable string `json:"stable"`
	Canary string `json:"canary"`
}

// Excerpt is the end of one instance's log.
type Excerpt struct {
	Instance string `json:"instance"`
	Arm      string `json:"arm"`
	Text     string `json:"text"`
}

// Report is everything that is told about a run.
type Report struct{}

// Read makes the report of the record in r.
func Read(r io.Reader, ev Evidence) (Report, error) { return Report{}, nil }

// Markdown writes the report for terminals, tickets and code hosts.
func Markdown(w io.Writer, r Report) error { return nil }

// HTML writes the report as one page that needs nothing else.
func HTML(w io.Writer, r Report) error { return nil }

// Summary is the report in one line.
func Summary(r Report) string { return "" }
