package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/kube"
)

func (c *command) revert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revert NAME",
		Short: "Make a Deployment ask for the version that serves again",
		Long: `Revert puts the template that serves back into the Deployment of a rollout on a
cluster: after a rollback, so that it is not held with a rejected template any
longer, or during a run, which then goes back. It is what kubectl rollout undo
would do if the Deployment were not held.

On one machine nothing is held: release the older version with "serin release".`,
		Example:           `  serin revert shop --context production`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !c.onCluster() {
				return usage("revert is about a cluster: name it with --context or --namespace. On this machine, release the older version: `serin release %s --version V`", args[0])
			}
			return c.onDeployment(cmd.Context(), args[0], c.Cluster.Revert)
		},
	}
	return cmd
}

func (c *command) restart() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME",
		Short: "Have new pods of the version that serves released",
		Long: `Restart asks for new pods of the version that serves, as kubectl rollout restart
does, which refuses to while the Deployment is held. The new pods are released like
any version: a run tests them, and they take over at its end. The command returns
when that run has begun. It is refused, with exit code 4, while a run goes on and
while the Deployment asks for a version that does not serve.

It is for a cluster; on one machine nothing is held.`,
		Example: `  serin restart shop --context production
  serin restart shop -n web && serin promote shop -n web --full --wait`,
		Args:              oneName,
		ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !c.onCluster() {
				return usage("restart is about a cluster: name it with --context or --namespace")
			}
			return c.onDeployment(cmd.Context(), args[0], c.Cluster.Restart)
		},
	}
}

// onDeployment does something about a rollout's Deployment and prints what.
func (c *command) onDeployment(ctx context.Context, name string, do func(context.Context, *kube.Connection, string) (string, error)) error {
	ctx, _, stop := untilSignal(ctx)
	defer stop()
	connection, err := kube.Connect(c.target, "serin/"+c.Version)
	if err != nil {
		return err
	}
	did, err := do(ctx, connection, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, did)
	return err
}
