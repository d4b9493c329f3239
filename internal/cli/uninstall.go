package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
)

func (c *command) uninstall() *cobra.Command {
	var o install.UninstallOptions
	var target *kube.Target
	var timeout time.Duration
	var out *format
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take Serin out of a Kubernetes cluster, at any time",
		Long: `Uninstall leaves ordinary Deployments and ordinary routes, also in the middle of a
run and when the controller does not work: it routes everything to the stable
version, ends the runs, lets go of Deployments and Services, and then takes the
controller, the policy and the permissions away. It prints what it does and can be
repeated.

A Deployment that is held asks for a version that was not released, and would roll
it out at once when let go. It gets the template back that serves; with
--keep-template it keeps the one that it asks for and stays paused.

The kinds stay, and with them rollouts, runs and their records, unless --crds.`,
		Example: `  serin uninstall --dry-run
  serin uninstall
  serin uninstall --crds      # every rollout, run and record too`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			conn, cl, err := c.dial(*target)
			if err != nil {
				return err
			}
			results := items[install.Result]{Items: []install.Result{}}
			o.Router = func(r *serinv1.CanaryRollout, run *serinv1.CanaryRun) (install.Router, error) {
				return c.Cluster.Router(cl, r, run)
			}
			o.Told = func(r install.Result) {
				results.Items = append(results.Items, r)
				if *out == asText {
					line := r.String()
					if o.DryRun {
						line += " (dry run)"
					}
					fmt.Fprintln(c.out, line)
				}
			}
			err = conn.Explain(install.Uninstall(ctx, cl, o))
			if *out != asText {
				if errPrint := print(c.out, *out, results, nil); errPrint != nil {
					return errPrint
				}
			}
			return err
		},
	}
	f := cmd.Flags()
	target = targetFlags(cmd)
	f.StringVarP(&o.Namespace, "namespace", "n", install.Namespace, "namespace of the controller")
	f.StringSliceVar(&o.Namespaces, "namespaces", nil, "look for rollouts in these namespaces only, separated by commas (default all)")
	f.BoolVar(&o.Definitions, "crds", false, "take Serin's kinds away too, and with them every rollout, run and record")
	f.BoolVar(&o.KeepTemplate, "keep-template", false, "leave a held Deployment paused with the template that it asks for")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would be done and do nothing")
	f.DurationVar(&o.Patience, "patience", 30*time.Second, "how long a working controller may take to roll its runs back itself; 0: it is not asked")
	f.DurationVar(&o.Drain, "drain", 5*time.Second, "how long requests to a canary may take to finish once it gets no new ones")
	f.DurationVar(&timeout, "timeout", 10*time.Minute, "how long all of it may take")
	out = outputFlag(cmd)
	return cmd
}
