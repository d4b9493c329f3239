package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the guide to the command line")

const manualPath = "../../docs/guide/command-line.md"

// The guide to the command line is what the commands say of themselves.
func TestTheGuideToTheCommandLineIsUpToDate(t *testing.T) {
	want := manual()
	if *update {
		if err := os.WriteFile(manualPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manualPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands say; run `go test ./internal/cli -run Guide -update`", manualPath)
	}
}

func TestEveryCommandHasAnExampleAndALine(t *testing.T) {
	walk(tree(), func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		if cmd.Example == "" || cmd.Short == "" || !strings.Contains(cmd.Example, "serin") {
			t.Errorf("%s lacks a line or an example of itself", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s says nothing of itself", cmd.CommandPath(), f.Name)
			}
		})
	})
}

func tree() *cobra.Command {
	root, _ := (&command{}).root()
	return root
}

func walk(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, fn)
	}
}

func manual() []byte {
	var b bytes.Buffer
	b.WriteString(`# The command line

Data goes to stdout, everything else to stderr. ` + "`-o json`" + ` and ` + "`-o yaml`" + ` print the same
for programs. Progress is drawn on a terminal only; elsewhere a change is one line.
` + "`NO_COLOR`" + ` is honoured, and ` + "`SERIN_DEBUG=1`" + ` logs more to stderr.

State lives in ` + "`--state`" + `, else ` + "`$SERIN_STATE`, else `$XDG_STATE_HOME/serin`, else `~/.local/state/serin`" + `.

| exit code | means |
| --- | --- |
| 0 | promoted, or done |
| 2 | rolled back |
| 3 | waiting for a person, or inconclusive |
| 4 | wrong usage or configuration |
| 5 | something needed cannot be reached |
| 1 | anything else |

`)
	walk(tree(), func(cmd *cobra.Command) {
		if cmd.Hidden || !cmd.HasParent() || cmd.Name() == "help" || cmd.Parent().Name() == "completion" {
			return
		}
		describeCommand(&b, cmd)
	})
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

func describeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	long := cmd.Long
	if cmd.Name() == "completion" {
		long = "Completion prints the script with which a shell completes commands, flags and the names of rollouts: `serin completion bash`, `zsh`, `fish` or `powershell`."
	}
	fmt.Fprintf(b, "## serin %s\n\n%s\n\n", cmd.Name(), strings.TrimSpace(long))
	fmt.Fprintf(b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
	flags := cmd.LocalFlags()
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString("| flag | |\n| --- | --- |\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, f.Usage)
	})
	b.WriteString("\n")
}
