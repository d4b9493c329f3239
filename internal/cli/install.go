package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
)

// installing is what `serin install` was asked for.
type installing struct {
	install.Options
	target *kube.Target
	out    *format
	// confined asks for a NetworkPolicy, with these ports.
	confined bool
	ports    []int
	dryRun   bool
	force    bool
	wait     bool
	timeout  time.Duration
}

func (c *command) install() *cobra.Command {
	var i installing
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install Serin in a Kubernetes cluster, or bring it up to date",
		Long: `Install applies Serin's objects to a cluster, server-side: its kinds, the policy
that holds a Deployment when its template changes, the controller and its
permissions. It prints a line for each object, can be repeated, and waits until the
controller is ready. What an earlier installation was asked for and this one is not,
such as a NetworkPolicy, it takes away; a namespace is not left while a run goes on
there. A cluster has one Serin: where another namespace has a controller, nothing is
written.

With --namespaces Serin carries the rollouts of these namespaces only, with Roles
there and no ClusterRole. What only an administrator may write (--part cluster) can
then be applied apart from the rest (--part namespace).`,
		Example: `  serin install --prometheus-url http://prometheus.monitoring:9090
  serin install --dry-run                     # the API server checks, nothing is written
  serin install --dry-run -o yaml > serin.yaml
  serin install --namespaces shop,billing --part cluster     # an administrator
  serin install --namespaces shop,billing --part namespace   # the rest`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.completeInstall(&i); err != nil {
				return err
			}
			return c.carryOutInstall(cmd.Context(), i)
		},
	}
	f := cmd.Flags()
	i.target = targetFlags(cmd)
	f.StringVarP(&i.Namespace, "namespace", "n", install.Namespace, "namespace of the controller")
	f.StringSliceVar(&i.Namespaces, "namespaces", nil, "namespaces whose rollouts are carried, separated by commas (default all)")
	f.StringVar((*string)(&i.Part), "part", string(install.All), "what to apply: cluster (what only an administrator may write), namespace (the rest) or all")
	f.StringVar(&i.Image, "image", "", "image of the controller (default "+install.Repository+" at --version)")
	f.StringVar(&i.Version, "version", "", "version to install (default: this program's)")
	f.Int32Var(&i.Replicas, "replicas", 1, "replicas of the controller: one works, the others stand by")
	f.StringVar(&i.PrometheusURL, "prometheus-url", "", "Prometheus that rollouts without analysis.metrics are judged from")
	f.StringVar(&i.ArchiveClaim, "archive-claim", "", "PersistentVolumeClaim for records and reports of ended runs (default: they go with the pod)")
	f.BoolVar(&i.confined, "network-policy", false, "confine the controller by a NetworkPolicy, which has an effect where the cluster's network enforces them")
	f.IntSliceVar(&i.ports, "network-policy-ports", install.ConfinedPorts, "TCP ports that it may reach then: the API server's, Prometheus's, and those of notifiers, tests and hooks")
	f.StringVar(&i.PriorityClass, "priority-class", "", "PriorityClass of the controller's pods")
	f.BoolVar(&i.dryRun, "dry-run", false, "let the API server check everything and write nothing; with -o yaml print the objects instead")
	f.BoolVar(&i.force, "force-conflicts", false, "take over fields that others have set, and what a Serin in another namespace has")
	f.BoolVar(&i.wait, "wait", true, "wait until the controller is ready")
	f.DurationVar(&i.timeout, "timeout", 5*time.Minute, "how long to wait")
	i.out = outputFlag(cmd)
	return cmd
}

// completeInstall fills in what is known without a cluster.
func (c *command) completeInstall(i *installing) error {
	if i.Version == "" {
		i.Version = c.Version
	}
	if i.Image == "" && !released(i.Version) {
		return usage("serin %s is a build of its own, of which no image is published; name one with --image, or a release with --version", i.Version)
	}
	i.Rules = c.Cluster.Permissions()
	if i.confined {
		i.Confine = i.ports
	}
	i.Options = i.WithDefaults()
	if err := i.Validate(); err != nil {
		return usage("%w", err)
	}
	return nil
}

// released reports whether a version is that of a release: v1.2.3, perhaps with
// a pre-release such as -rc.1.
func released(version string) bool {
	return strings.HasPrefix(version, "v") && strings.Count(version, ".") >= 2 && !strings.Contains(version, "dirty") && !strings.Contains(version, "-g")
}

func (c *command) carryOutInstall(ctx context.Context, i installing) error {
	conn, cl, errDial := c.dial(*i.target)
	if errDial == nil {
		i.Policy, errDial = install.ServedPolicy(cl)
		errDial = conn.Explain(errDial)
	}
	if i.dryRun && (*i.out != asText || errDial != nil) {
		if errDial != nil {
			i.Policy = install.NewestPolicy
			fmt.Fprintf(c.err, "no API server to ask (%v); this is what would be applied to one that has everything\n", errDial)
		}
		return c.printObjects(i)
	}
	if errDial != nil {
		return errDial
	}
	objects, err := install.Objects(i.Options)
	if err != nil {
		return usage("%w", err)
	}
	if i.Policy == "" {
		fmt.Fprintln(c.err, "the API server has no MutatingAdmissionPolicy: Deployments are kept paused all the time, and Serin lets them go")
	}
	results := items[install.Result]{Items: []install.Result{}}
	told := func(r install.Result) {
		results.Items = append(results.Items, r)
		if *i.out == asText {
			line := r.String()
			if i.dryRun {
				line += " (dry run)"
			}
			fmt.Fprintln(c.out, line)
		}
	}
	how := install.ApplyOptions{DryRun: i.dryRun, Force: i.force, Told: told}
	left, err := install.Left(ctx, cl, i.Options)
	if err == nil {
		err = install.CheckLeft(ctx, cl, left)
	}
	if err == nil && !i.force {
		err = install.CheckOther(ctx, cl, i.Options)
	}
	if err == nil {
		err = install.Apply(ctx, cl, objects, how)
	}
	if err == nil {
		err = install.Prune(ctx, cl, i.Options, left, how)
	}
	if err != nil {
		return conn.Explain(err)
	}
	if *i.out != asText {
		if err := print(c.out, *i.out, results, nil); err != nil {
			return err
		}
	}
	if i.dryRun || !i.wait || len(install.OfKind(objects, "Deployment")) == 0 {
		return nil
	}
	return c.awaitController(ctx, conn, cl, i)
}

// awaitController waits for the controller. On a terminal how far it is stands
// in one line that changes; elsewhere a change is a line.
func (c *command) awaitController(ctx context.Context, conn *kube.Connection, cl client.Client, i installing) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	begin, end := "", "\n"
	if interactive(c.err) {
		begin, end = "\r\x1b[K", ""
	}
	err := install.Wait(ctx, cl, i.Namespace, func(now string) {
		fmt.Fprintf(c.err, "%swaiting for the controller: %s%s", begin, now, end)
	})
	fmt.Fprint(c.err, begin)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return unreachable("after %s %w", i.timeout, err)
		}
		return conn.Explain(err)
	}
	fmt.Fprintln(c.err, "the controller is ready")
	return nil
}

// printObjects writes the objects themselves.
func (c *command) printObjects(i installing) error {
	objects, err := install.Objects(i.Options)
	if err != nil {
		return usage("%w", err)
	}
	switch *i.out {
	case asYAML:
		data, err := install.YAML(objects)
		if err != nil {
			return err
		}
		_, err = c.out.Write(data)
		return err
	case asJSON:
		list := map[string]any{"apiVersion": "v1", "kind": "List", "items": bodies(objects)}
		return print(c.out, asJSON, list, nil)
	}
	return print(c.out, asText, nil, func(w io.Writer) error {
		for _, o := range objects {
			if _, err := fmt.Fprintf(w, "%s would be applied\n", o.Title()); err != nil {
				return err
			}
		}
		return nil
	})
}

func bodies(objects []install.Object) []map[string]any {
	all := make([]map[string]any, len(objects))
	for i, o := range objects {
		all[i] = o.Object
	}
	return all
}
