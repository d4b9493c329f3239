package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Located is a problem with its place in a file. Lines and columns count from
// 1; columns count characters.
type Located struct {
	Problem
	File         string
	Line, Column int
}

// String writes the problem as compilers do, in one line:
// "shop.yaml:12:9: spec.plan.prepare: is negative; write 10m".
func (l Located) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", l.File, l.Line, l.Column)
	if l.Warning {
		b.WriteString("warning: ")
	}
	if l.Field != "" {
		b.WriteString(l.Field)
		b.WriteString(": ")
	}
	b.WriteString(l.Message)
	if l.Mend != "" {
		b.WriteString("; ")
		b.WriteString(l.Mend)
	}
	return b.String()
}

// FileError is everything that is wrong with a file, in the order of the file.
// It holds no warnings.
type FileError struct {
	Problems []Located
}

// maxPrinted is how many problems Error prints; nobody mends more in one go.
const maxPrinted = 50

// Error writes one line a problem.
func (e *FileError) Error() string {
	var lines []string
	for i, p := range e.Problems {
		if i == maxPrinted {
			lines = append(lines, fmt.Sprintf("%s: and %d more", p.File, len(e.Problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// maxText bounds the pieces of a problem, which may quote the file.
const maxText = 400

// clip shortens a text that would fill the terminal.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// sortLocated puts problems in the order in which a reader of the file meets
// them, each once.
func sortLocated(problems []Located) []Located {
	slices.SortStableFunc(problems, func(a, b Located) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
	return slices.Compact(problems)
}
