package kube

import (
	"log/slog"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Env is what an adapter on a cluster needs to know about where it runs. An
// adapter is built for one rollout.
type Env struct {
	// Client reads from a cache and writes directly.
	Client client.Client
	// Live reads from the API server itself, for what a cache may not know yet.
	Live client.Reader
	// Namespace is the rollout's, and Rollout its name.
	Namespace, Rollout string
	// Baseline says that the rollout's plan has one.
	Baseline bool
	Logger   *slog.Logger
}
