package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/server"
)

// reportForms are the values of report's -o; text is Markdown.
var reportForms = []string{"text", "md", "html", "path", "record", "json", "yaml"}

// reported is the answer of report for programs.
type reported struct {
	Run      string          `json:"run"`
	Rollout  string          `json:"rollout"`
	Standing server.Standing `json:"standing"`
	// Path is where the page of HTML is, Markdown the report itself.
	Path     string `json:"path,omitempty"`
	Markdown string `json:"markdown"`
}

func (c *command) report() *cobra.Command {
	var number runNumber
	var form string
	cmd := &cobra.Command{
		Use:   "report NAME",
		Short: "Print the report or the record of a run",
		Long: `Report prints the report of a rollout's latest run when that has ended: as Markdown,
as a page of HTML that needs nothing else, or just the path where the page is. With
-o json or yaml the Markdown and the path are fields of an object. With -o record it
prints the run's whole record, which ` + "`serin replay`" + ` decides again; of a run that goes
on the record ends where the run is.

NAME is a rollout, or the id of a run.`,
		Example: `  serin report shop
  serin report shop --run 3 -o html > run3.html
  serin report shop --run 3 -o record | serin replay -
  xdg-open "$(serin report shop -o path)"`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !slices.Contains(reportForms, form) {
				return usage("-o: %q is not known; write %s", form, strings.Join(reportForms, ", "))
			}
			l, r, err := c.connectToRun(cmd.Context(), args[0], int(number))
			if err != nil {
				return err
			}
			defer l.close()
			if form == "path" {
				if r.Report == "" {
					return usage("run %d of %s has no report yet; it is written when the run has ended", r.Number, r.Rollout)
				}
				_, err := fmt.Fprintln(c.out, r.Report)
				return err
			}
			if form == "record" {
				body, err := l.Record(cmd.Context(), r.ID)
				if err != nil {
					return err
				}
				return c.copyOut(body)
			}
			asked := form
			if form != "html" {
				asked = "md"
			}
			body, err := l.Report(cmd.Context(), r.ID, asked)
			if err != nil {
				return err
			}
			if form == string(asJSON) || form == string(asYAML) {
				return c.reportInside(format(form), r, body)
			}
			return c.copyOut(body)
		},
	}
	cmd.Flags().Var(&number, "run", "number of the run (default: the latest)")
	cmd.Flags().StringVarP(&form, "output", "o", "md", "form of the report: "+strings.Join(reportForms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(reportForms, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// reportInside prints the report as a field of an object.
func (c *command) reportInside(f format, r server.Run, body io.ReadCloser) error {
	text, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("read the report of run %s: %w", r.ID, err)
	}
	return print(c.out, f, reported{r.ID, r.Rollout, r.Standing, r.Report, string(text)}, nil)
}

func (c *command) copyOut(body io.ReadCloser) error {
	_, err := io.Copy(c.out, body)
	return errors.Join(err, body.Close())
}
