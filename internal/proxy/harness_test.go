package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/test/plane/ports"
)

// running is a proxy that serves on a real socket.
type running struct {
	*proxy.Proxy
	addr string
}

func start(t *testing.T, cfg proxy.Config, s proxy.Split) *running {
	t.Helper()
	if cfg.DrainGrace == 0 {
		cfg.DrainGrace = 20 * time.Millisecond
	}
	p, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Update(s); err != nil {
		t.Fatal(err)
	}
	ln, err := proxy.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = p.Shutdown(ctx)
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v, want http.ErrServerClosed", err)
		}
	})
	return &running{p, ln.Addr().String()}
}

func (r *running) url(path string) string { return "http://" + r.addr + path }

// origin starts an HTTP server that answers with h.
func origin(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// named answers with its name, after the request's body.
func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Origin", name)
		_, _ = io.WriteString(w, name)
	}
}

func only(url string) proxy.Split {
	return proxy.Split{Stable: []proxy.Backend{{Name: "s1", URL: url}}}
}

func both(weight int, stable, canary string) proxy.Split {
	return proxy.Split{Weight: weight,
		Stable: []proxy.Backend{{Name: "s1", URL: stable}},
		Canary: []proxy.Backend{{Name: "c1", URL: canary}}}
}

// deadURL is an address where nothing listens.
func deadURL(t *testing.T) string {
	t.Helper()
	return "http://" + ports.Keep(t)
}

// newClient is an HTTP client of its own, so that tests share no connections.
func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url string, header ...string) (status int, body string) {
	t.Helper()
	return do(t, c, http.MethodGet, url, nil, header...)
}

func do(t *testing.T, c *http.Client, method, url string, body io.Reader, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// eventually waits for what a concurrent finish brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// counted waits until so many requests are counted, by enough, and all that became
// of them too: that comes a moment later.
func counted(t *testing.T, p *running, enough func(proxy.Stats) bool) proxy.Stats {
	t.Helper()
	var s proxy.Stats
	eventually(t, "all are counted", func() bool {
		s = p.Snapshot()
		for _, arm := range []proxy.ArmStats{s.Stable, s.Canary, s.ForcedStable, s.ForcedCanary} {
			if arm.Inflight != 0 {
				return false
			}
			for _, i := range arm.Instances {
				if i.Inflight != 0 {
					return false
				}
			}
		}
		s = p.Snapshot()
		return enough(s)
	})
	return s
}

// certificate writes a fresh self-signed pair and returns a pool that trusts it.
func certificate(t *testing.T, dir, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// way is one way from a client through the proxy to a backend.
type way struct {
	name   string
	proxy  *running
	client *http.Client
	base   string
	proto  string
}

// ways are all protocols on both sides, in front of the same handler.
func ways(t *testing.T, h http.HandlerFunc) []way {
	t.Helper()
	plain := origin(t, h)
	h2c := httptest.NewUnstartedServer(h)
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{h2c, secure} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())

	transport := func(setup func(*http.Transport)) *http.Client {
		tr := &http.Transport{Protocols: new(http.Protocols), ExpectContinueTimeout: 5 * time.Second}
		setup(tr)
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: 20 * time.Second}
	}
	h1 := func(tr *http.Transport) { tr.Protocols.SetHTTP1(true) }
	plainProxy := start(t, proxy.Config{}, only(plain.URL))
	toH2C := start(t, proxy.Config{}, only("h2c"+h2c.URL[len("http"):]))
	toTLS := start(t, proxy.Config{BackendTLS: &tls.Config{RootCAs: pool}}, only(secure.URL))
	certFile, keyFile, trusted := certificate(t, t.TempDir(), "proxy")
	tlsProxy := start(t, proxy.Config{CertFile: certFile, KeyFile: keyFile}, only(plain.URL))

	return []way{
		{"HTTP/1.1 to HTTP/1.1", plainProxy, transport(h1), "http://" + plainProxy.addr, "HTTP/1.1"},
		{"h2c to HTTP/1.1", plainProxy, transport(func(tr *http.Transport) { tr.Protocols.SetUnencryptedHTTP2(true) }), "http://" + plainProxy.addr, "HTTP/2.0"},
		{"h2c to h2c", toH2C, transport(func(tr *http.Transport) { tr.Protocols.SetUnencryptedHTTP2(true) }), "http://" + toH2C.addr, "HTTP/2.0"},
		{"HTTP/1.1 to h2c", toH2C, transport(h1), "http://" + toH2C.addr, "HTTP/1.1"},
		{"HTTP/1.1 to HTTPS", toTLS, transport(h1), "http://" + toTLS.addr, "HTTP/1.1"},
		{"HTTP/2 over TLS", tlsProxy, transport(func(tr *http.Transport) {
			tr.Protocols.SetHTTP2(true)
			tr.TLSClientConfig = &tls.Config{RootCAs: trusted}
		}), "https://" + tlsProxy.addr, "HTTP/2.0"},
		{"HTTP/1.1 over TLS", tlsProxy, transport(func(tr *http.Transport) {
			h1(tr)
			tr.TLSClientConfig = &tls.Config{RootCAs: trusted}
		}), "https://" + tlsProxy.addr, "HTTP/1.1"},
	}
}

func eachWay(t *testing.T, h http.HandlerFunc, test func(t *testing.T, w way)) {
	t.Helper()
	for _, w := range ways(t, h) {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

func fatalf(t *testing.T, err error, format string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}
