package app

import (
	"context"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/doctor"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// askTime bounds how long doctor waits for Prometheus.
const askTime = 15 * time.Second

// ClusterMetrics asks the Prometheus that a rollout would be judged from, for
// what the version that serves shows there.
func ClusterMetrics(ctx context.Context, c client.Client, controller string, r rollout.Rollout) ([]doctor.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	url, preset := controllerMetrics(ctx, c, controller)
	findings, err := builtin.Diagnose(ctx, r, builtin.ClusterEnv{
		Env:        kube.Env{Client: c, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name},
		Prometheus: url, Preset: preset,
	})
	if err != nil {
		return nil, err
	}
	var out []doctor.Finding
	for _, f := range findings {
		found := doctor.Finding{State: doctor.OK, Message: f.Query + ": " + f.Message, Mend: f.Mend}
		switch {
		case f.Perhaps:
			found.State = doctor.Warning
		case !f.OK:
			found.State = doctor.Missing
		}
		out = append(out, found)
	}
	return out, nil
}

// controllerMetrics reads from the controller's own arguments which Prometheus
// it asks by default; empty where that cannot be read.
func controllerMetrics(ctx context.Context, c client.Client, namespace string) (url, preset string) {
	var d appsv1.Deployment
	if c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: install.Controller}, &d) != nil {
		return "", ""
	}
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if v, ok := strings.CutPrefix(arg, "--prometheus-url="); ok {
				url = v
			}
			if v, ok := strings.CutPrefix(arg, "--prometheus-preset="); ok {
				preset = v
			}
		}
	}
	return url, preset
}
