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

// away takes the installed controller away for the test.
func (s *shop) away() {
	t := s.t
	t.Helper()
	s.kubectlIn("serin-system", "scale", "deployment/serin-controller", "--replicas=0")
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

// besideThe returns what starts a controller outside of the cluster that reaches
// the API server on a way of the test's, with the rights of the installed one.
func (s *shop) besideThe(way *httptest.Server, args ...string) func() *exec.Cmd {
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
	args = append([]string{"controller", "--leader-elect=false", "--archive", archive, "--metrics-bind-address=0",
		"--health-probe-bind-address=10.88.250.3:8082", "--prometheus-url", plane.PrometheusURL}, args...)
	return func() *exec.Cmd {
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
}

// carriedThrough has a controller outside of the cluster in the place of the
// installed one, until the test ends.
func (s *shop) carriedThrough(way *httptest.Server, args ...string) {
	t := s.t
	t.Helper()
	s.away()
	cmd := s.besideThe(way, args...)()
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
	if err := cluster.WaitForHTTP(t.Context(), "http://10.88.250.3:8082/readyz"); err != nil {
		t.Fatal(err)
	}
}
