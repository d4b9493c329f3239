//go:build plane

package cluster

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/test/plane"
)

// slowWatches is a way to the API server on which everything is as quick as
// ever, but for what watches tell: that comes so much later.
func slowWatches(t *testing.T, late time.Duration) *httptest.Server {
	t.Helper()
	to, err := url.Parse(cluster.Admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(cluster.Admin)) // the caller's credentials go through
	if err != nil {
		t.Fatal(err)
	}
	var watches atomic.Int64
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") == "true" {
				watches.Add(1)
				r.Body = newLater(r.Body, late)
			}
			return nil
		},
	}
	t.Cleanup(func() {
		if watches.Load() == 0 {
			t.Error("nothing was watched through the proxy")
		}
	})
	server := httptest.NewUnstartedServer(proxy)
	server.EnableHTTP2 = true // many watches, one connection
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server
}

// later hands on what is read so much later.
type later struct {
	io.ReadCloser
	pieces chan piece
	closed chan struct{}
	close  sync.Once
	rest   []byte
	err    error
}

type piece struct {
	data []byte
	err  error
	due  time.Time
}

func newLater(from io.ReadCloser, late time.Duration) *later {
	l := &later{ReadCloser: from, pieces: make(chan piece, 10_000), closed: make(chan struct{})}
	go func() {
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			select {
			case l.pieces <- piece{buffer[:n], err, time.Now().Add(late)}:
			case <-l.closed:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *later) Read(into []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		select {
		case p := <-l.pieces:
			select {
			case <-time.After(time.Until(p.due)):
			case <-l.closed:
				return 0, io.ErrClosedPipe
			}
			l.rest, l.err = p.data, p.err
		case <-l.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(into, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *later) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.ReadCloser.Close()
}

// carriedThrough has a controller outside of the cluster, with the rights of the
// installed one, which is away meanwhile, reach the API server through a proxy.
func (s *shop) carriedThrough(proxy *httptest.Server) {
	t := s.t
	t.Helper()
	s.away()
	cmd := s.besideThe(proxy)()
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
// the API server through a proxy, with the rights of the installed one.
func (s *shop) besideThe(proxy *httptest.Server) func() *exec.Cmd {
	t := s.t
	t.Helper()
	as, err := cluster.ServiceAccount(t.Context(), "serin-system", "serin-controller")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"plane": {Server: proxy.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"serin": {Token: as.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"slow": {Cluster: "plane", AuthInfo: "serin", Namespace: "serin-system"}},
		CurrentContext: "slow",
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
	return func() *exec.Cmd {
		cmd := exec.Command(program, "controller", "--leader-elect=false", "--archive", archive, "--metrics-bind-address=0",
			"--health-probe-bind-address=10.88.250.3:8082", "--prometheus-url", plane.PrometheusURL)
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

// late is more than two ticks of the tests' rollouts.
const late = 5 * time.Second

// What watches tell comes five seconds late. A release takes its time and comes
// to the same end, no step of it is there twice, and nobody's request fails.
func TestAReleaseWhileTheWatchIsSlow(t *testing.T) {
	s := open(t, 2)
	s.carriedThrough(slowWatches(t, late))
	s.roll(crashPhases)
	users := send(t, s.host, 50)
	weights := s.history()
	s.change("v2")
	s.released(1, 2)
	s.unharmed(users)
	s.recorded("shop-1")
	// Up to 100, then the tested pods are stable and the weight goes back.
	if got := weights(); fmt.Sprint(got) != "[0 10 50 100 0]" {
		t.Errorf("the canary's weights were %v", got)
	}
	if n := len(s.runs()); n != 1 {
		t.Errorf("there are %d runs", n)
	}
}

// The way back does not wait for watches: neither when the figures say so, nor
// when a person does.
func TestARollbackWhileTheWatchIsSlow(t *testing.T) {
	s := open(t, 2)
	s.carriedThrough(slowWatches(t, late))
	s.roll(longPhases)
	users := send(t, s.host, 50)
	s.change("v2", "-errors=0.5")
	s.rolledBack(1, "errors")
	s.recorded("shop-1")
	s.change("v3")
	s.weighs(20)
	asked := time.Now()
	s.says(0, "", "rollback", "shop")
	s.weighs(0)
	// A tick is 2 s here. The intent is heard of with what the look in it saves,
	// before any watch tells of it.
	if took := time.Since(asked); took > 4*time.Second {
		t.Errorf("stable served alone %s after it was asked for", took)
	}
	if run := s.ends(2, limit); run.Status.Phase != string(engine.RolledBack) {
		t.Errorf("run 2 ended as %q", run.Status.Phase)
	}
	s.recorded("shop-2")
	users.stop()
	if got := count(users.got(time.Time{})); got.versions["v2"] == 0 || got.versions["v1"] == 0 {
		t.Errorf("who answered: %v", got.versions)
	}
}
