package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// noArgs takes nothing but flags.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected %q: only flags belong here", args[0])
	}
	return nil
}

// oneName takes exactly the name of a rollout or the id of a run.
func oneName(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return errors.New("NAME is missing: which rollout? `serin get` lists them")
	case 1:
		return nil
	}
	return fmt.Errorf("unexpected %q: one NAME at a time", args[1])
}

// optionalName takes the name of a rollout or nothing.
func optionalName(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneName(cmd, args)
}

// completeTime bounds what a shell waits for.
const completeTime = 2 * time.Second

// completeName offers the names of the rollouts to the shell.
func (c *command) completeName(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completeTime)
	defer cancel()
	l, err := c.connect(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer l.close()
	rollouts, err := l.Rollouts(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, r := range rollouts {
		names = append(names, r.Name+"\t"+r.Serving)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
