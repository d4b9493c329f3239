package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *command) report() *cobra.Command {
	var number runNumber
	var form string
	cmd := &cobra.Command{
		Use:   "report NAME",
		Short: "Print the report of a run that has ended",
		Long: `Report prints the report of a rollout's latest run: as Markdown, as a page of HTML
that needs nothing else, or just the path where the page is.

NAME is a rollout, or the id of a run.`,
		Example: `  serin report shop
  serin report shop --run 3 -o html > run3.html
  xdg-open "$(serin report shop -o path)"`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if form != "md" && form != "html" && form != "path" {
				return usage("-o: %q is not known; write md, html or path", form)
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
			body, err := l.Report(cmd.Context(), r.ID, form)
			if err != nil {
				return err
			}
			return c.copyOut(body)
		},
	}
	cmd.Flags().Var(&number, "run", "number of the run (default: the latest)")
	cmd.Flags().StringVarP(&form, "output", "o", "md", "form of the report: md, html or path")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"md", "html", "path"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *command) copyOut(body io.ReadCloser) error {
	_, err := io.Copy(c.out, body)
	return errors.Join(err, body.Close())
}
