package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

// maxComplaint is how long a complaint may be; the record keeps every word.
const maxComplaint = 1000

func (c *command) complaint() *cobra.Command {
	ask := server.IntentRequest{Intent: rollout.Complain}
	var arm string
	var out *format
	cmd := &cobra.Command{
		Use:   "complain NAME TEXT...",
		Short: "Report a user's complaint to the run that goes on",
		Long: `Complain records what a user complains about, with the time and who reports it,
and counts it. A check of type complaints compares how often users of either
version complain and rolls the run back when the canary's do more.

Say which version the user had with --arm or --version. Without, the complaint is
recorded and not judged: users of both versions call.

NAME is a rollout, or the id of a run. TEXT - reads the text from the standard
input.`,
		Example: `  serin complain shop --version v2 "the basket is empty after paying"
  serin complain shop --arm canary -- checkout hangs
  serin complain shop "slow today"`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return oneName(nil, args)
			case 1:
				return errors.New(`TEXT is missing: what does the user complain about? Such as: serin complain ` + args[0] + ` "the basket is empty"`)
			}
			return nil
		},
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			var err error
			if ask.Reason, err = c.complaintText(args[1:]); err != nil {
				return err
			}
			switch ask.Arm = rollout.Arm(arm); {
			case arm == "unknown":
				ask.Arm = ""
			case arm != "" && ask.Arm != rollout.Stable && ask.Arm != rollout.Canary:
				return usage("--arm: %q is no arm; write canary, stable or unknown", arm)
			}
			l, r, err := c.reachRun(ctx, args[0])
			if err != nil {
				return err
			}
			defer l.close()
			answer, err := l.Ask(ctx, r.ID, ask)
			if err != nil {
				return err
			}
			if answer.Answered && !answer.Accepted {
				return fmt.Errorf("the complaint to %s was refused: %s", r.Rollout, answer.Message)
			}
			return print(c.out, *out, answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s, run %d (%s → %s): %s\n", r.Rollout, r.Number, r.StableVersion, r.CanaryVersion, answer.Message)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&arm, "arm", "", "the version that the user had: canary, stable or unknown (default unknown)")
	cmd.Flags().StringVar(&ask.Version, "version", "", "the same by the version's name")
	cmd.MarkFlagsMutuallyExclusive("arm", "version")
	out = outputFlag(cmd)
	return cmd
}

// complaintText joins the words, or reads the standard input for "-".
func (c *command) complaintText(words []string) (string, error) {
	text := strings.Join(words, " ")
	if len(words) == 1 && words[0] == "-" {
		data, err := io.ReadAll(io.LimitReader(c.in, 16*maxComplaint))
		if err != nil {
			return "", fmt.Errorf("read the complaint from the standard input: %w", err)
		}
		text = string(data)
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if text == "" {
		return "", usage("the complaint has no words; say what the user complains about")
	}
	if r := []rune(text); len(r) > maxComplaint {
		text = string(r[:maxComplaint-1]) + "…"
	}
	return text, nil
}
