package cli

import (
	"github.com/spf13/cobra"

	"serin.dev/serin/internal/kube"
)

// onCluster reports that a cluster is meant and not this machine.
func (c *command) onCluster() bool { return c.target != kube.Target{} }

// clusterFlags are for commands that tell of runs or act on them: any of them
// means a cluster instead of this machine.
func (c *command) clusterFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.target.Context, "context", "", "a cluster instead of this machine: a context of the kubeconfig")
	f.StringVarP(&c.target.Namespace, "namespace", "n", "", "a cluster instead of this machine: a namespace of its current context")
	f.StringVar(&c.target.Kubeconfig, "kubeconfig", "", "a cluster instead of this machine: a file that says how to reach it (default $KUBECONFIG, else ~/.kube/config)")
}
