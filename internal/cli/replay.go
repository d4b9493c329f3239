package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/record"
)

// replayed is the answer of replay.
type replayed struct {
	Run         string       `json:"run"`
	Rollout     string       `json:"rollout"`
	Decisions   int          `json:"decisions"`
	Missing     int          `json:"missing,omitempty"`
	Same        bool         `json:"same"`
	Differences []difference `json:"differences,omitempty"`
	End         string       `json:"end"`
}

type difference struct {
	Line     int    `json:"line"`
	Recorded string `json:"recorded"`
	Decided  string `json:"decided"`
}

func (c *command) replay() *cobra.Command {
	var out *format
	cmd := &cobra.Command{
		Use:   "replay RECORD",
		Short: "Decide a recorded run again and compare every decision",
		Long: `Replay reads the record of a run and decides it again from what was observed. It
needs nothing else, and exits 0 only when every decision to the run's end comes out
the same, 1 when one does not, and 4 when the record is malformed or cut off.

Where nothing could be saved for long, as the disk was full, a record has one line
with "gap" in the place of the looks that are left out. Replay says how many they
are, and goes on from the state that they came to.`,
		Example: `  serin replay ~/.local/state/serin/archive/shop/RUN/record.jsonl
  serin report shop -o record | serin replay -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("write one RECORD, the path of a record, or - for stdin")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			in := c.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return usage("%w; `serin report NAME -o record` prints the record of a run, here or on a cluster", err)
				}
				defer f.Close()
				in = f
			}
			result, err := record.Replay(in)
			if err != nil {
				return usage("%s: %w", args[0], err)
			}
			return c.tellReplay(*out, args[0], result)
		},
	}
	out = outputFlag(cmd)
	return cmd
}

func (c *command) tellReplay(f format, path string, result record.Replayed) error {
	told := replayed{
		Run: result.Header.Run.ID, Rollout: result.Header.Rollout.Name,
		Decisions: result.Decisions, Missing: result.Missing, Same: len(result.Differences) == 0, End: result.State.Position(),
	}
	for _, d := range result.Differences {
		told.Differences = append(told.Differences, difference{d.Line, d.Recorded, d.Decided})
	}
	err := print(c.out, f, told, func(w io.Writer) error {
		if told.Same {
			missing := ""
			if told.Missing > 0 {
				missing = fmt.Sprintf(" (%d more are not in the record: nothing could be saved then)", told.Missing)
			}
			_, err := fmt.Fprintf(w, "run %s of %s: %d decisions, all the same%s; it ends %s\n", told.Run, told.Rollout, told.Decisions, missing, told.End)
			return err
		}
		for _, d := range told.Differences {
			if _, err := fmt.Fprintf(w, "line %d\n  recorded %s\n  decided  %s\n", d.Line, d.Recorded, d.Decided); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && told.Same && !result.State.Ended() {
		err = usage("%s: %w: it stops in %q, before the run's end; a run's whole record is in the archive", path, record.ErrTruncated, told.End)
	}
	if err == nil && !told.Same {
		err = fmt.Errorf("run %s comes out differently: the first difference is at line %d; was it recorded by another version of serin?", told.Run, told.Differences[0].Line)
	}
	return err
}
