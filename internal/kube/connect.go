package kube

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// Target says which cluster a person means, in kubectl's terms. The zero value
// is what kubectl would use.
type Target struct {
	// Kubeconfig is a file; empty: $KUBECONFIG, else ~/.kube/config, else the
	// service account of the pod that this program runs in.
	Kubeconfig string
	// Context is the name of a context in that file; empty: its current one.
	Context string
	// Namespace; empty: the context's.
	Namespace string
}

// Connection is a cluster as it is reached with the person's own credentials.
type Connection struct {
	Config    *rest.Config
	Namespace string
	// Server is the API server's address, for messages.
	Server string
}

// requestTimeout bounds one request of a command.
const requestTimeout = 30 * time.Second

var (
	// ErrTarget is wrapped when the kubeconfig does not say how to reach the
	// cluster that is meant: a mistake, not an outage.
	ErrTarget = errors.New("no such cluster in the kubeconfig")
	// ErrUnreachable is wrapped when the API server does not answer.
	ErrUnreachable = errors.New("the API server cannot be reached")
)

// Connect reads how to reach a cluster. It sends nothing. userAgent names the
// program and its version to the API server.
func Connect(t Target, userAgent string) (*Connection, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = t.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: t.Context}
	overrides.Context.Namespace = t.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%w: %w; see `kubectl config get-contexts`, and name one with --context or a file with --kubeconfig", ErrTarget, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("%w: read the namespace of the context: %w", ErrTarget, err)
	}
	config.Timeout = requestTimeout
	config.UserAgent = userAgent
	// The API server's own priority and fairness limits who asks too much.
	config.QPS = -1
	return &Connection{Config: config, Namespace: namespace, Server: config.Host}, nil
}

// Client returns a client that reads live from the API server.
func (c *Connection) Client() (client.Client, error) {
	quiet()
	cl, err := client.New(c.Config, client.Options{Scheme: Scheme()})
	if err != nil {
		return nil, c.Explain(fmt.Errorf("reach %s: %w", c.Server, err))
	}
	return cl, nil
}

// quiet keeps the libraries from writing to a person's terminal: that they were
// given no log, or that somebody ended a command in the middle of an answer. What
// a command has to say is in its errors.
var quiet = sync.OnceFunc(func() {
	ctrllog.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
})

// Explain adds to an error of a request what a person can do about it. The
// error wraps ErrUnreachable when no answer came.
func (c *Connection) Explain(err error) error {
	var network net.Error
	var address *url.Error
	switch {
	case err == nil || errors.Is(err, ErrUnreachable):
		return err
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w; %s does not know these credentials: log in again, or name another context with --context", err, c.Server)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask for the permission, or name another context with --context", err)
	case meta.IsNoMatchError(err) && strings.Contains(err.Error(), "serin.dev"):
		return fmt.Errorf("%w; Serin is not installed in this cluster: run `serin install`", err)
	case apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err):
		return fmt.Errorf("%w: %w; try again when it is well", ErrUnreachable, err)
	case errors.As(err, &network) || errors.As(err, &address):
		return fmt.Errorf("%w: %w; is the cluster up, and the address %s right?", ErrUnreachable, err, c.Server)
	}
	return err
}
