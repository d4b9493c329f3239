package plane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"serin.dev/serin/test/plane/build"
)

// issuer names the plane in the tokens of service accounts.
const issuer = "https://kubernetes.default.svc"

// controllers are those of the controller manager that make a Deployment's pods,
// lead to them, scale and limit them, and clean up. The others watch and write as
// much and nobody here needs what they do; that of the nodes' lifecycle would miss
// heartbeats, which the test kubelet does not send.
var controllers = []string{
	"deployment-controller", "replicaset-controller", "endpointslice-controller", "horizontal-pod-autoscaler-controller",
	"namespace-controller", "serviceaccount-controller", "clusterrole-aggregation-controller", "resourcequota-controller",
	"garbage-collector-controller", "disruption-controller",
}

// startControlPlane starts etcd, the API server and the controller manager,
// each as soon as what it needs is there.
func (p *Plane) startControlPlane(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(p.Dir, name) }
	etcdURL, peerURL := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	p.Etcd = newProcess(p.Dir, "etcd", answers(etcdURL+"/health", nil), p.programs[build.Etcd],
		"--data-dir="+at("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL)

	c := p.credentials
	p.Admin = &rest.Config{
		Host: "https://127.0.0.1:" + ports[2], BearerToken: c.adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.caPEM},
		QPS:             -1, // the plane is the tests' own
	}
	if err := writeKubeconfig(p.Kubeconfig, p.Admin); err != nil {
		return err
	}
	if p.Client, err = kubernetes.NewForConfig(p.Admin); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(p.Admin)
	if err != nil {
		return err
	}
	p.APIServer = newProcess(p.Dir, "kube-apiserver", answers(p.Admin.Host+"/readyz", client), append([]string{p.programs[build.APIServer],
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + ports[2],
		"--tls-cert-file=" + c.serving, "--tls-private-key-file=" + c.servingKey,
		"--authorization-mode=RBAC", "--token-auth-file=" + c.tokens,
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + c.serviceAccountKey, "--service-account-signing-key-file=" + c.serviceAccountKey,
		// Pods need no token that is mounted: there is nothing to mount into.
		"--disable-admission-plugins=ServiceAccount",
		// The API server's own address would have to be other than loopback.
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
		"--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true",
	}, p.options.APIServerArgs...)...)

	// The API server waits for etcd by itself.
	if err := errors.Join(p.Etcd.launch(), p.APIServer.launch()); err != nil {
		return err
	}
	if err := p.Etcd.await(ctx); err != nil {
		return err
	}
	if err := p.APIServer.await(ctx); err != nil {
		return err
	}
	if p.options.NoControllers {
		return nil
	}
	p.ControllerManager = newProcess(p.Dir, "kube-controller-manager", p.controllersWork, p.programs[build.ControllerManager],
		"--kubeconfig="+p.Kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers="+strings.Join(controllers, ","),
		"--service-account-private-key-file="+c.serviceAccountKey, "--root-ca-file="+c.ca,
		"--kube-api-qps=500", "--kube-api-burst=1000")
	return p.ControllerManager.Start(ctx)
}

// controllersWork asks for something that only a controller makes.
func (p *Plane) controllersWork(ctx context.Context) error {
	_, err := p.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errors.New("the default service account is not made yet")
	}
	return err
}

// answers returns how to ask an address whether its server is ready.
func answers(url string, client *http.Client) func(context.Context) error {
	if client == nil {
		client = http.DefaultClient
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}

// freePorts returns ports of 127.0.0.1 that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
