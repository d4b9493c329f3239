package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/judge"
)

func (c *command) judge() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "judge -f FILE",
		Short: "Read ticks on stdin, answer with decisions on stdout",
		Long: `Judge reads one tick a line (JSON) on stdin and answers each with a line on
stdout: wait, proceed, hold, rollback or complete, the weight the canary should
get next, and why. It touches nothing else, so it brings Serin's decisions to any
other deployer. Of FILE only the plan and the analysis are used.

A malformed line is answered with {"error":"line 12: …"}, changes nothing, and
makes the exit code 4 at the end. Otherwise the exit code is 0 when the last
decision was complete, 2 when it was rollback, 3 when the input ended before.`,
		Example: `  serin judge -f shop.yaml < ticks.jsonl
  my-deployer | serin judge -f shop.yaml | my-weights`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			spec, err := c.readPlan(file)
			if err != nil {
				return err
			}
			result, err := judge.Stream(engine.PlanOf(spec), c.in, c.out, func(w string) { fmt.Fprintf(c.err, "serin: %s\n", w) })
			if err != nil {
				return err
			}
			switch n := result.Malformed; {
			case n == 1:
				return usage("one of the lines was malformed and not judged; it was answered with its error")
			case n > 1:
				return usage("%d of the lines were malformed and not judged; each was answered with its error", n)
			}
			return verdict(result.Decision)
		},
	}
	fileFlag(cmd, &file, "file with the rollout")
	return cmd
}

// verdict is the end of a command that ends with a decision.
func verdict(k engine.Kind) error {
	switch k {
	case engine.Complete:
		return nil
	case engine.Rollback:
		return &exit{code: exitRolledBack}
	}
	return &exit{code: exitWaiting}
}
