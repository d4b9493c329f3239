// Package plane runs a real Kubernetes control plane for tests, without
// containers: etcd, the API server and the controller manager, and when asked a
// kubelet that runs pods as processes, Traefik as the data plane of the Gateway
// API, and Prometheus. It must not know Serin.
//
// A test package that needs the API alone:
//
//	var cluster *plane.Plane
//
//	func TestMain(m *testing.M) { os.Exit(plane.Run(m, plane.Options{}, &cluster)) }
//
// With plane.Full() in the place of the options pods run and have addresses,
// and the test runs with them in a network of its own.
package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/test/plane/build"
	"serin.dev/serin/test/plane/kubelet"
)

// Options says what runs.
type Options struct {
	// Dir holds data and logs; empty means a temporary folder that Close removes.
	Dir string
	// Manifests are files and folders that are applied before Start returns.
	// Custom resource definitions among them are usable then.
	Manifests []string
	// NoControllers leaves the controller manager out: a second quicker, and no
	// Deployment ever makes a pod.
	NoControllers bool
	// APIServerArgs come after the plane's own and win over them.
	APIServerArgs []string
	// Kubelet is the node; nil means that there is none and no pod ever starts.
	// With FakeReady it needs no network of its own.
	Kubelet *kubelet.Options
	// Gateway runs Traefik as the Gateway API's data plane and applies the
	// Gateway API's definitions. It needs a network of its own.
	Gateway bool
	// Istio applies the definitions by which Istio routes.
	Istio bool
	// Prometheus runs one that scrapes Traefik, the node and pods. It needs a
	// network of its own.
	Prometheus bool
	// ScrapeInterval is Prometheus's; zero means a second.
	ScrapeInterval time.Duration
	// Progress is told what takes long; nil means standard error.
	Progress io.Writer
}

// Full returns the options of a plane with everything, whose crashed containers
// are not waited for as long as in earnest.
func Full() Options {
	return Options{
		Kubelet: &kubelet.Options{Backoff: time.Second, BackoffMax: 10 * time.Second},
		Gateway: true, Prometheus: true,
	}
}

// Plane is a running cluster.
type Plane struct {
	// Dir holds data and logs.
	Dir string
	// Admin reaches the API server as a member of system:masters.
	Admin *rest.Config
	// Kubeconfig is the same as a file.
	Kubeconfig string
	// Client is Admin's.
	Client kubernetes.Interface

	// The programs; nil when the options leave them out.
	Etcd, APIServer, ControllerManager *Process
	Traefik, Prometheus                *Process
	// Kubelet is the node; nil when the options leave it out.
	Kubelet *kubelet.Kubelet

	options     Options
	programs    map[string]string
	credentials credentials
	removeDir   bool
	objects     func() (client.Client, error) // as Admin
}

// Start starts a plane and returns when all of it serves. The context bounds
// the start alone.
func Start(ctx context.Context, o Options) (*Plane, error) {
	if o.ownNetwork() && os.Getenv(entered) == "" {
		return nil, errors.New("start the plane: these options need a network of its own; call plane.Run from TestMain, or plane.Enter first")
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	programs, err := build.Programs(ctx, o.Progress, o.programs()...)
	if err != nil {
		return nil, err
	}
	p := &Plane{Dir: o.Dir, options: o, programs: programs}
	p.objects = sync.OnceValues(func() (client.Client, error) { return client.New(p.Admin, client.Options{}) })
	if p.Dir == "" {
		if p.Dir, err = os.MkdirTemp("", "serin-plane-"); err != nil {
			return nil, fmt.Errorf("make a folder for the plane: %w", err)
		}
		p.removeDir = true
	}
	if err := p.start(ctx); err != nil {
		p.removeDir = false // its logs say why
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// programs are those that the options need.
func (o Options) programs() []string {
	list := slices.Clone(build.ControlPlane)
	if o.Gateway {
		list = append(list, build.Traefik)
	}
	if o.Prometheus {
		list = append(list, build.Prometheus)
	}
	return list
}

// ownNetwork says whether the plane has addresses that this machine does not.
func (o Options) ownNetwork() bool {
	return o.Gateway || o.Prometheus || o.Kubelet != nil && !o.Kubelet.FakeReady
}

func (p *Plane) start(ctx context.Context) error {
	var err error
	if p.credentials, err = newCredentials(p.Dir); err != nil {
		return err
	}
	p.Kubeconfig = filepath.Join(p.Dir, "kubeconfig")
	if err := p.startControlPlane(ctx); err != nil {
		return err
	}
	manifests, err := p.options.manifests(ctx)
	if err != nil {
		return err
	}
	if err := p.ApplyObjects(ctx, manifests); err != nil {
		return err
	}
	if p.options.Kubelet != nil {
		if err := p.startKubelet(ctx, *p.options.Kubelet); err != nil {
			return err
		}
	}
	if p.options.Gateway {
		if err := p.startGateway(ctx); err != nil {
			return err
		}
	}
	if p.options.Prometheus {
		return p.startPrometheus(ctx)
	}
	return nil
}

func (p *Plane) startKubelet(ctx context.Context, o kubelet.Options) error {
	if o.Dir == "" {
		o.Dir = filepath.Join(p.Dir, "pods")
	}
	if o.Address == "" && p.options.ownNetwork() {
		o.Address = nodeAddress
	}
	var err error
	p.Kubelet, err = kubelet.Start(ctx, p.Admin, o)
	return err
}

// Close ends everything.
func (p *Plane) Close() error {
	var failed error
	if p.Kubelet != nil {
		failed = p.Kubelet.Close()
	}
	for _, process := range []*Process{p.Prometheus, p.Traefik, p.ControllerManager, p.APIServer, p.Etcd} {
		if process != nil {
			process.Kill()
		}
	}
	if p.removeDir {
		failed = errors.Join(failed, os.RemoveAll(p.Dir))
	}
	return failed
}

// User returns how to reach the API server as a user who has only the rights
// that RBAC gives to the name and the groups.
func (p *Plane) User(name string, groups ...string) *rest.Config {
	c := rest.CopyConfig(p.Admin)
	c.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: append(groups, "system:authenticated")}
	return c
}

// ServiceAccount returns how to reach the API server with a token of a service
// account that exists.
func (p *Plane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	hour := int64(time.Hour / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	got, err := p.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("get a token of the service account %s/%s: %w", namespace, name, err)
	}
	c := rest.CopyConfig(p.Admin)
	c.BearerToken = got.Status.Token
	return c, nil
}

// Program returns where one of the plane's programs is, such as kubectl.
func (p *Plane) Program(name string) string { return p.programs[name] }

// Kubectl runs kubectl as the administrator and returns what it printed. The
// error holds what it printed as an error.
func (p *Plane) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.programs[build.Kubectl], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.Kubeconfig, "HOME="+p.Dir)
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return string(out), fmt.Errorf("kubectl %v: %w: %s", args, err, failed.Stderr)
	}
	return string(out), err
}

// WaitForHTTP waits until an address answers with 200.
func (p *Plane) WaitForHTTP(ctx context.Context, url string) error {
	ask := answers(url, nil)
	for {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ask(one)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
