package cli

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

func (c *command) controller() *cobra.Command {
	o := ControllerOptions{}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Be the controller in a Kubernetes cluster",
		Long: `Controller carries the rollouts of a cluster: it watches CanaryRollouts and their
Deployments, and carries a run whenever a template changes. "serin install" runs it
in the cluster. Several may run: the one that leads works, the others stand by.

In a pod it uses the pod's service account, elsewhere the kubeconfig.`,
		Example: `  serin controller --prometheus-url http://prometheus.monitoring:9090
  serin controller --namespaces shop,billing --leader-elect=false`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, _, stop := untilSignal(cmd.Context())
			defer stop()
			o.Target = c.target
			o.Logger = slog.New(slog.NewJSONHandler(c.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
			return c.Controller(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Namespaces, "namespaces", nil, "namespaces to look at, separated by commas (default all)")
	f.BoolVar(&o.LeaderElection, "leader-elect", true, "agree with other controllers on one that works")
	o.Pod = os.Getenv("POD_NAME")
	f.StringVar(&o.Namespace, "leader-elect-namespace", os.Getenv("POD_NAMESPACE"), "namespace in which controllers agree (default $POD_NAMESPACE, else the kubeconfig's)")
	f.StringVar(&o.MetricsAddress, "metrics-bind-address", "127.0.0.1:8081", "address of the controller's own metrics; 0: none")
	f.StringVar(&o.HealthAddress, "health-probe-bind-address", "127.0.0.1:8082", "address of /healthz and /readyz; 0: none")
	f.StringVar(&o.Archive, "archive", "", "folder for records, logs and reports of ended runs (default: archive in the state folder)")
	f.StringVar(&o.Prometheus, "prometheus-url", "", "Prometheus that rollouts without analysis.metrics are judged from")
	f.StringVar(&o.Preset, "prometheus-preset", "", "whose counters it has: istio, traefik, envoyGateway or otel (default: by the kind of route)")
	f.BoolVar(&o.HoldAlways, "hold-always", false, "keep Deployments paused between runs: for an API server that has no MutatingAdmissionPolicy")
	f.IntVar(&o.Keep, "keep-runs", 10, "how many ended runs a rollout keeps")
	return cmd
}
