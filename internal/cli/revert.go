package cli

import (
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
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			connection, err := kube.Connect(c.target, "serin/"+c.Version)
			if err != nil {
				return err
			}
			did, err := c.Cluster.Revert(ctx, connection, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.out, did)
			return err
		},
	}
	return cmd
}
