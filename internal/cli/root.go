package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/kube"
)

// command is the state of one call of the program: where it reads and writes.
type command struct {
	Program
	in       io.Reader
	out, err io.Writer
	state    string
	target   kube.Target
}

// Main runs the program with its arguments and returns its exit code.
func (p Program) Main(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	c := &command{Program: p, in: in, out: out, err: err}
	root, begun := c.root()
	root.SetArgs(args)
	failure := root.ExecuteContext(ctx)
	if failure == nil {
		return exitPromoted
	}
	if !*begun {
		failure = c.misused(root, args, failure)
	}
	code := p.codeOf(failure)
	var e *exit
	if !errors.As(failure, &e) || e.err != nil {
		c.complain(failure)
	}
	return code
}

// complain says what went wrong, a mistake a line.
func (c *command) complain(err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		fmt.Fprintf(c.err, "serin: %s\n", line)
	}
}

var missingFlags = regexp.MustCompile(`^required flag\(s\) "(.*)" not set$`)

// unread matches what Go says about a flag's value that it cannot read.
var unread = regexp.MustCompile(`(^invalid argument .* flag: )(?:strconv\.Parse(Int|Uint|Float|Bool): parsing .*: (.*)|time: .*(duration) .*)$`)

// readable replaces Go's words about a flag's value by what to write.
func readable(text string) string {
	m := unread.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	switch kind, why := m[2], m[3]; {
	case m[4] != "":
		return m[1] + "write a duration such as 90s, 30m or 1h30m"
	case kind == "Bool":
		return m[1] + "write true or false"
	case strings.HasSuffix(why, "out of range"):
		return m[1] + "write a smaller number"
	case kind == "Float":
		return m[1] + "write a number such as 0.5"
	case kind == "Uint":
		return m[1] + "write a whole number, 0 or more"
	}
	return m[1] + "write a whole number"
}

// misused is a command line that no command took.
func (c *command) misused(root *cobra.Command, args []string, err error) error {
	at := root
	if found, _, errFind := root.Find(args); errFind == nil {
		at = found
	}
	text := readable(strings.Join(strings.Fields(err.Error()), " "))
	if m := missingFlags.FindStringSubmatch(text); m != nil {
		text = "--" + strings.ReplaceAll(m[1], `", "`, ", --") + " is missing"
	}
	return usage("%s; see `%s --help`", text, at.CommandPath())
}

// root returns the command tree; begun is set once a command is carried out.
func (c *command) root() (root *cobra.Command, begun *bool) {
	begun = new(bool)
	root = &cobra.Command{
		Use:   "serin",
		Short: "Release a new version to a few users first, watch it, and go on or go back",
		Long: `Serin releases a new version beside the one that serves, gives it a small share
of the traffic, compares the two, and goes on to all traffic or back to none.

Exit codes: 0 promoted (or done), 2 rolled back, 3 waiting for a person or
inconclusive, 4 wrong usage or configuration, 5 something needed cannot be
reached, 1 anything else.`,
		Example: `  serin demo                         # see it work, no files needed
  serin run -f shop.yaml             # one release on this machine
  serin serve -f /etc/serin          # the daemon
  serin release shop --version v2    # a release on the daemon`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Suggestions are part of the error's own line.
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%q is not a command of serin%s; see `serin --help`", args[0], didYouMean(cmd, args[0]))
		}
		return cmd.Help()
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.PersistentFlags().StringVar(&c.state, "state", "", "folder where state lives (default $SERIN_STATE, else $XDG_STATE_HOME/serin, else ~/.local/state/serin)")
	c.clusterFlags(root)
	root.AddGroup(
		&cobra.Group{ID: "release", Title: "Release:"},
		&cobra.Group{ID: "read", Title: "Read:"},
		&cobra.Group{ID: "act", Title: "Act on a run:"},
		&cobra.Group{ID: "decide", Title: "Decide and check:"},
		&cobra.Group{ID: "cluster", Title: "On Kubernetes:"},
	)
	root.AddCommand(
		grouped("release", c.demo(), c.run(), c.serve(), c.release(), c.controller())...,
	)
	root.AddCommand(grouped("read", c.get(), c.describe(), c.history(), c.report(), c.logs())...)
	root.AddCommand(grouped("act", c.promote(), c.pause(), c.resume(), c.rollback(), c.revert(), c.restart(), c.complaint())...)
	root.AddCommand(grouped("decide", c.judge(), c.replay(), c.lint(), c.simulate(), c.backtest(), c.doctor())...)
	root.AddCommand(grouped("cluster", c.install(), c.uninstall())...)
	root.AddCommand(c.version(), c.shop())
	root.InitDefaultHelpCmd()
	helpOfKnownCommands(root)
	root.InitDefaultCompletionCmd()
	exemplify(root)
	askForAShell(root)
	noteBegun(root, begun)
	return root, begun
}

// helpOfKnownCommands makes help of a command that there is none of a mistake in
// the command line; cobra's shows the general help, and exits with 0.
func helpOfKnownCommands(root *cobra.Command) {
	for _, help := range root.Commands() {
		if help.Name() != "help" {
			continue
		}
		show := help.Run
		help.Run, help.RunE = nil, func(cmd *cobra.Command, args []string) error {
			if at, rest, _ := root.Find(args); len(rest) > 0 && at.HasSubCommands() {
				return usage("%q is not a command of %s%s; see `%s --help`", rest[0], at.CommandPath(), didYouMean(at, rest[0]), at.CommandPath())
			}
			show(cmd, args)
			return nil
		}
	}
}

// noteBegun sets begun when any command is carried out: what fails before is a
// mistake in the command line.
func noteBegun(cmd *cobra.Command, begun *bool) {
	if carryOut := cmd.RunE; carryOut != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*begun = true
			return carryOut(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteBegun(sub, begun)
	}
}

// exemplify gives the commands that cobra adds an example too.
func exemplify(root *cobra.Command) {
	examples := map[string]string{
		"help":       "  serin help release",
		"completion": "  serin completion bash > /etc/bash_completion.d/serin",
		"bash":       "  source <(serin completion bash)",
		"zsh":        `  serin completion zsh > "${fpath[1]}/_serin"`,
		"fish":       "  serin completion fish > ~/.config/fish/completions/serin.fish",
		"powershell": "  serin completion powershell | Out-String | Invoke-Expression",
	}
	for _, cmd := range root.Commands() {
		for _, c := range append(cmd.Commands(), cmd) {
			if c.Example == "" {
				c.Example = examples[c.Name()]
			}
		}
	}
}

// askForAShell makes completion for no shell, or for one that is not known, a
// mistake; cobra would print the help and exit with 0.
func askForAShell(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("which shell? write bash, zsh, fish or powershell; see `serin completion --help`")
			}
			return usage("%q is not a shell that is known; write bash, zsh, fish or powershell; see `serin completion --help`", args[0])
		}
	}
}

func grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	return commands
}

func didYouMean(cmd *cobra.Command, word string) string {
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return ""
}

// stateDir is the state folder that was asked for.
func (c *command) stateDir() (string, error) {
	if c.state != "" {
		return c.state, nil
	}
	return c.StateDir()
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && terminal(f)
}
