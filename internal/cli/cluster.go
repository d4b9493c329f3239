package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/doctor"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

// Cluster is what commands know of clusters besides the API server itself.
type Cluster struct {
	// Permissions are those that the controller and its adapters need.
	Permissions func() []rbacv1.PolicyRule
	// Router reaches the route of a rollout, as it was pinned by a run when there
	// is one.
	Router func(c client.Client, r *serinv1.CanaryRollout, run *serinv1.CanaryRun) (install.Router, error)
	// Parse reads a rollout with the adapters of a cluster.
	Parse func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error)
	// Metrics says whether a rollout's figures can be had. controller is the
	// namespace of the controller, whose Prometheus is asked by default.
	Metrics func(ctx context.Context, c client.Client, controller string, r rollout.Rollout) ([]doctor.Finding, error)
	// Asides says which requests reach an arm whatever the weight.
	Asides func(client.Client) doctor.Asides
	// Refusals says what would keep a run of a rollout from beginning.
	Refusals func(client.Client) doctor.Refusals
	// Open answers for a cluster as a daemon does for its machine.
	Open func(*kube.Connection) (server.Backend, error)
	// Revert makes a rollout's Deployment ask for what serves, and says so.
	Revert func(ctx context.Context, c *kube.Connection, rollout string) (string, error)
	// Restart has new pods of what serves released, and says which run does.
	Restart func(ctx context.Context, c *kube.Connection, rollout string) (string, error)
}

// targetFlags adds the flags that say which cluster is meant, in kubectl's
// words.
func targetFlags(cmd *cobra.Command) *kube.Target {
	t := &kube.Target{}
	cmd.Flags().StringVar(&t.Context, "context", "", "context of the kubeconfig (default: its current one)")
	cmd.Flags().StringVar(&t.Kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default $KUBECONFIG, else ~/.kube/config)")
	return t
}

// dial reads how to reach a cluster and makes a client; nothing but the API
// server's kinds is asked for yet.
func (c *command) dial(t kube.Target) (*kube.Connection, client.Client, error) {
	conn, err := kube.Connect(t, "serin/"+c.Version)
	if err != nil {
		return nil, nil, err
	}
	cl, err := conn.Client()
	return conn, cl, err
}

// clusterCode is the exit code for an error of a request to a cluster, 0 when it
// is none.
func clusterCode(err error) int {
	switch {
	case errors.Is(err, kube.ErrTarget), errors.Is(err, install.ErrConflict), errors.Is(err, install.ErrDowngrade), errors.Is(err, install.ErrAbandoned), errors.Is(err, install.ErrOther):
		return exitUsage
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsInvalid(err):
		return exitUsage
	case errors.Is(err, kube.ErrUnreachable):
		return exitUnreachable
	}
	return 0
}
