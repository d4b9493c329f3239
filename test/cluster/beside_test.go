//go:build plane

package cluster

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"serin.dev/serin/test/plane"
)

// way is a way to the API server that a test can put something on: on is given what
// carries requests there, and returns what is asked in its place. The callers'
// credentials go through.
func way(t *testing.T, on func(through *httputil.ReverseProxy) http.Handler) *httptest.Server {
	t.Helper()
	to, err := url.Parse(cluster.Admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(cluster.Admin))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(on(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport, FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}))
	server.EnableHTTP2 = true // many watches, one connection
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server
}

// asItIs is a way with nothing on it.
func asItIs(through *httputil.ReverseProxy) http.Handler { return through }

// away takes the installed controller away for the test, and those within it.
func away(t *testing.T) {
	t.Helper()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	if out, err := cluster.Kubectl(t.Context(), "scale", "deployment/serin-controller", "-n", "serin-system", "--replicas=0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := apply(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, limit, func() error {
		if n := len(controllers(t)); n > 0 {
			return fmt.Errorf("%d controllers run", n)
		}
		return nil
	})
}

// TestControllersOfTheirOwn has tests at the same time whose controllers see the
// namespace of the test alone and reach the API server on a way of its own.
func TestControllersOfTheirOwn(t *testing.T) {
	away(t)
	for name, test := range map[string]func(*testing.T){
		"is killed at every effect":        killedAtEveryEffect,
		"releases while watches are slow":  releaseWhileWatchesAreSlow,
		"goes back while watches are slow": rollbackWhileWatchesAreSlow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// healthPort is the next one at which such a controller tells how it is.
var healthPort atomic.Int32

// besideThe returns what starts a controller outside of the cluster that reaches
// the API server on a way of the test's, with the rights of the installed one, and
// where it tells how it is.
func (s *shop) besideThe(way *httptest.Server, args ...string) (start func() *exec.Cmd, health string) {
	t := s.t
	t.Helper()
	as, err := cluster.ServiceAccount(t.Context(), "serin-system", "serin-controller")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"plane": {Server: way.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: way.Certificate().Raw})}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"serin": {Token: as.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"beside": {Cluster: "plane", AuthInfo: "serin", Namespace: "serin-system"}},
		CurrentContext: "beside",
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
	health = fmt.Sprintf("10.88.250.3:%d", 8082+healthPort.Add(1))
	args = append([]string{"controller", "--leader-elect=false", "--archive", archive, "--metrics-bind-address=0",
		"--health-probe-bind-address=" + health, "--prometheus-url", plane.PrometheusURL}, args...)
	start = func() *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+file)
		said := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = said, said
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	return start, health
}

// carriedThrough has a controller outside of the cluster in the place of the
// installed one, which is away, until the test ends.
func (s *shop) carriedThrough(way *httptest.Server, args ...string) {
	t := s.t
	t.Helper()
	start, health := s.besideThe(way, args...)
	cmd := start()
	said := cmd.Stdout.(*bytes.Buffer)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if t.Failed() || err != nil {
			lines := strings.SplitAfter(said.String(), "\n")
			t.Log(err, strings.Join(lines[max(0, len(lines)-200):], ""))
		}
		if err != nil {
			t.Errorf("the controller ended with %v", err)
		}
	})
	if err := cluster.WaitForHTTP(t.Context(), "http://"+health+"/readyz"); err != nil {
		t.Fatal(err)
	}
}
