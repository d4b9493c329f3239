package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
)

// linted is the answer of lint.
type linted struct {
	OK       bool      `json:"ok"`
	Rollouts []planned `json:"rollouts"`
	Problems []mistake `json:"problems"`
}

type planned struct {
	File     string    `json:"file"`
	Name     string    `json:"name"`
	Timeline string    `json:"timeline"`
	Ends     time.Time `json:"ends"`
	table    string
	// mistakes and warnings count what was found about it.
	mistakes, warnings int
}

// count counts what was found about it.
func (p *planned) count(all []rollout.Located) {
	for _, l := range all {
		if l.Warning {
			p.warnings++
		} else {
			p.mistakes++
		}
	}
}

// standing says in a few words how it is. What was found is listed above.
func (p planned) standing() string {
	switch {
	case p.mistakes == 1:
		return "cannot be run as it is: see the mistake above"
	case p.mistakes > 1:
		return fmt.Sprintf("cannot be run as it is: see the %d mistakes above", p.mistakes)
	case p.warnings == 1:
		return "can be run, with the warning above"
	case p.warnings > 1:
		return fmt.Sprintf("can be run, with the %d warnings above", p.warnings)
	}
	return "is well-formed"
}

type mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	text    string
}

func (c *command) lint() *cobra.Command {
	var file string
	var schema, strict bool
	var expect traffic
	var out *format
	cmd := &cobra.Command{
		Use:   "lint -f FILE",
		Short: "Check files of rollouts and print their timelines",
		Long: `Lint reads a file, or every .yaml, .yml and .json file of a folder, and lists all
that is wrong with it: file, line, column, field, and what to write instead. It
exits 4 when there is a mistake; a warning is likely a mistake but can be run, and
with --strict it exits 4 for warnings too.

When the expected traffic is said (--requests-per-second and others, or --measured),
it warns of checks that cannot see their margin in any phase of the plan, and with
--instances of weights that so many instances cannot make where the instances are
what splits the traffic. ` + "`serin simulate`" + ` says more, and takes longer.
With --schema it prints the JSON Schema of such a file, for editors.`,
		Example: `  serin lint -f shop.yaml
  serin lint -f shop.yaml --requests-per-second 10 --error-rate 0.1% --strict
  serin lint -f /etc/serin -o json
  serin lint --schema > canaryrollout.schema.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				s, err := c.Schema()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.out, "%s\n", s)
				return err
			}
			if file == "" {
				return usage("-f is missing: which file? see `serin lint --help`")
			}
			result, err := c.lintAll(cmd.Context(), file, expect)
			if err != nil {
				return err
			}
			result.OK = result.OK && (!strict || len(result.Problems) == 0)
			if err := print(c.out, *out, result, result.text); err != nil {
				return err
			}
			if !result.OK {
				return &exit{code: exitUsage}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file or folder to check; - is stdin")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of a file and exit")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 4 for warnings too")
	expect.flags(cmd)
	out = outputFlag(cmd)
	return cmd
}

func (c *command) lintAll(ctx context.Context, path string, expect traffic) (linted, error) {
	files, err := rolloutFiles(path)
	if err != nil {
		return linted{}, err
	}
	result := linted{OK: true, Rollouts: []planned{}, Problems: []mistake{}}
	owner := map[string]string{}
	claim := func(string, rollout.Rollout) []rollout.Problem { return nil }
	if c.Claims != nil {
		claim = c.Claims()
	}
	for _, name := range files {
		data, err := c.readFile(name)
		if err != nil {
			return result, err
		}
		rollouts, warnings, err := rollout.ParseAll(name, data, c.Catalog)
		result.add(warnings)
		var wrong *rollout.FileError
		if errors.As(err, &wrong) {
			result.OK = false
			result.add(wrong.Problems)
		} else if err != nil {
			return result, err
		}
		for i, r := range rollouts {
			var found []rollout.Located
			if c.Unmakeable != nil {
				stable := 0
				if expect.given(flagInstances) {
					stable = expect.instances
				}
				unmakeable := c.Unmakeable(*r, stable)
				result.OK = result.OK && !slices.ContainsFunc(unmakeable, func(p rollout.Problem) bool { return !p.Warning })
				found = append(found, rollout.Locate(name, data, i, unmakeable)...)
			}
			if expect.any() {
				t, _, err := c.expected(ctx, name, *r, expect)
				if err != nil {
					return result, err
				}
				found = append(found, rollout.Locate(name, data, i, foresee(*r, t))...)
			}
			claimed := claim(name, *r)
			result.OK = result.OK && len(claimed) == 0
			found = append(found, rollout.Locate(name, data, i, claimed)...)
			if before, taken := owner[r.Metadata.Name]; taken {
				result.OK = false
				found = append(found, rollout.Located{File: name, Line: 1, Column: 1, Problem: rollout.Problem{
					Field: "metadata.name", Message: fmt.Sprintf("%q is the name of a rollout in %s too", r.Metadata.Name, before), Mend: "give one of them another name",
				}})
			}
			owner[r.Metadata.Name] = name
			result.add(found)
			t := r.Spec.Plan.Timeline(time.Now())
			p := planned{File: name, Name: r.Metadata.Name, Timeline: t.String(), Ends: t.End(), table: t.Table()}
			p.count(found)
			p.count(about(warnings, name, data, i, len(rollouts)))
			result.Rollouts = append(result.Rollouts, p)
		}
	}
	return result, nil
}

// about are those of a file's warnings that are about its rollout number i of n.
func about(warnings []rollout.Located, file string, data []byte, i, n int) []rollout.Located {
	begins := func(i int) int {
		if i == n {
			return math.MaxInt
		}
		return rollout.Locate(file, data, i, []rollout.Problem{{}})[0].Line
	}
	from, to := begins(i), begins(i+1)
	return slices.DeleteFunc(slices.Clone(warnings), func(w rollout.Located) bool { return w.Line < from || w.Line >= to })
}

func (l *linted) add(all []rollout.Located) {
	for _, p := range all {
		l.Problems = append(l.Problems, mistake{p.File, p.Line, p.Column, p.Field, p.Message, p.Mend, p.Warning, p.String()})
	}
}

func (l *linted) text(w io.Writer) error {
	for _, p := range l.Problems {
		if _, err := fmt.Fprintln(w, p.text); err != nil {
			return err
		}
	}
	for _, r := range l.Rollouts {
		if _, err := fmt.Fprintf(w, "%s: %s %s\n%s%s\n", r.File, r.Name, r.standing(), r.table, r.Timeline); err != nil {
			return err
		}
	}
	return nil
}

// rolloutFiles lists the files of rollouts at a path, in the order of their
// names.
func rolloutFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage("%w; -f names a file or folder of rollouts", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, usage("%w", err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, usage("%s holds no .yaml, .yml or .json file", path)
	}
	return files, nil
}
