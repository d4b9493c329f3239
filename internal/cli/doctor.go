package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serin.dev/serin/internal/doctor"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
)

// examined is the answer of doctor.
type examined struct {
	OK       bool             `json:"ok"`
	Findings []doctor.Finding `json:"findings"`
}

// examining is what `serin doctor` was asked for.
type examining struct {
	target     *kube.Target
	cluster    bool
	namespace  string
	controller string
	name       string
	file       string
	timeout    time.Duration
}

func (c *command) doctor() *cobra.Command {
	var e examining
	var out *format
	cmd := &cobra.Command{
		Use:   "doctor [NAME]",
		Short: "Find what is missing for a rollout to work, and how to mend it",
		Long: `Doctor looks at what rollouts need and says what is missing, each with its mend. On
this machine: the state folder, disk space, the daemon, and with -f the files, their
programs and addresses. With --cluster, or --context, it looks at a cluster: its
kinds and policy, the controller and its permissions, and for every rollout, or the
one that is named, the Deployment, Services, route and metrics. It writes nothing.

Exit codes: 0 nothing is missing, 3 there are warnings or something could not be
looked at, 5 something is missing.`,
		Example: `  serin doctor -f shop.yaml
  serin doctor --cluster
  serin doctor --context production shop -o json`,
		Args: optionalName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				e.name = args[0]
			}
			for _, flag := range []string{"context", "kubeconfig", "namespace", "controller-namespace"} {
				e.cluster = e.cluster || cmd.Flags().Changed(flag)
			}
			if e.cluster && e.file != "" {
				return usage("-f is about this machine and --cluster about a cluster; write one of them")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), e.timeout)
			defer cancel()
			found, err := c.examine(ctx, e)
			if err != nil {
				return err
			}
			result := examined{OK: doctor.Worst(found) == doctor.OK, Findings: found}
			if err := print(c.out, *out, result, result.text); err != nil {
				return err
			}
			switch doctor.Worst(found) {
			case doctor.Missing:
				return &exit{code: exitUnreachable}
			case doctor.OK:
				return nil
			}
			return &exit{code: exitWaiting}
		},
	}
	f := cmd.Flags()
	e.target = targetFlags(cmd)
	f.BoolVar(&e.cluster, "cluster", false, "look at the cluster of the kubeconfig's current context")
	f.StringVarP(&e.namespace, "namespace", "n", "", "look at the rollouts of this namespace of the cluster only")
	f.StringVar(&e.controller, "controller-namespace", install.Namespace, "namespace of the controller")
	f.StringVarP(&e.file, "file", "f", "", "file or folder of rollouts to look at on this machine")
	f.DurationVar(&e.timeout, "timeout", time.Minute, "how long all of it may take")
	out = outputFlag(cmd)
	return cmd
}

func (c *command) examine(ctx context.Context, e examining) ([]doctor.Finding, error) {
	if e.cluster {
		return c.examineCluster(ctx, e)
	}
	return c.examineMachine(ctx, e)
}

func (c *command) examineCluster(ctx context.Context, e examining) ([]doctor.Finding, error) {
	e.target.Namespace = e.namespace
	conn, cl, err := c.dial(*e.target)
	if err != nil {
		return nil, err
	}
	return doctor.Cluster(ctx, doctor.ClusterOptions{
		Connection: conn, Client: cl, Namespace: e.controller, Rollouts: e.namespace, Name: e.name,
		Version: c.Version, Rules: c.Cluster.Permissions(), Parse: c.Cluster.Parse, Metrics: func(ctx context.Context, r rollout.Rollout) ([]doctor.Finding, error) {
			return c.Cluster.Metrics(ctx, cl, e.controller, r)
		},
		Asides: c.Cluster.Asides(cl), Refusals: c.Cluster.Refusals(cl),
	}), nil
}

func (c *command) examineMachine(ctx context.Context, e examining) ([]doctor.Finding, error) {
	state, err := c.stateDir()
	if err != nil {
		return nil, err
	}
	o := doctor.MachineOptions{State: state, Serving: map[string]bool{}, Files: map[string][]rollout.Rollout{}}
	var found []doctor.Finding
	l, err := dialAny(ctx, state, e.name)
	switch {
	case err == nil:
		defer l.close()
		o.Daemon = true
		serving, err := l.Rollouts(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range serving {
			o.Serving[r.Name] = true
		}
	case !errors.Is(err, server.ErrNobody):
		found = append(found, doctor.Finding{Check: "daemon", State: doctor.Unknown, Message: err.Error()})
	}
	if e.file != "" {
		wrong, err := c.readForDoctor(e, &o)
		if err != nil {
			return nil, err
		}
		found = append(found, wrong...)
	}
	return append(doctor.Machine(ctx, o), found...), nil
}

// readForDoctor reads the files and returns their mistakes.
func (c *command) readForDoctor(e examining, o *doctor.MachineOptions) ([]doctor.Finding, error) {
	files, err := rolloutFiles(e.file)
	if err != nil {
		return nil, err
	}
	var wrong []doctor.Finding
	for _, name := range files {
		data, err := c.readFile(name)
		if err != nil {
			return nil, err
		}
		all, warnings, err := rollout.ParseAll(name, data, c.Catalog)
		var mistakes *rollout.FileError
		if err != nil && !errors.As(err, &mistakes) {
			return nil, err
		}
		if mistakes != nil {
			warnings = append(warnings, mistakes.Problems...)
		}
		for _, p := range warnings {
			state := doctor.Missing
			if p.Warning {
				state = doctor.Warning
			}
			wrong = append(wrong, doctor.Finding{Check: "file", About: fmt.Sprintf("%s:%d", p.File, p.Line), State: state, Message: p.Field + " " + p.Message, Mend: p.Mend})
		}
		for _, r := range all {
			if e.name == "" || e.name == r.Metadata.Name {
				o.Files[name] = append(o.Files[name], *r)
			}
		}
	}
	return wrong, nil
}

// text writes what is missing last, where it is read.
func (e examined) text(w io.Writer) error {
	order := []doctor.State{doctor.OK, doctor.Unknown, doctor.Warning, doctor.Missing}
	all := slices.Clone(e.Findings)
	slices.SortStableFunc(all, func(a, b doctor.Finding) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	for _, f := range all {
		var b strings.Builder
		fmt.Fprintf(&b, "%-11s ", f.State)
		if f.About != "" {
			fmt.Fprintf(&b, "%s: ", f.About)
		}
		fmt.Fprintf(&b, "%s: %s", f.Check, f.Message)
		if f.Mend != "" {
			fmt.Fprintf(&b, "; %s", f.Mend)
		}
		if _, err := fmt.Fprintln(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}
