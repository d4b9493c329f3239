package kubelet

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// server is the part of a node that the API server and Prometheus ask.
type server struct {
	http *http.Server
	port int
}

// Endpoint is where the node answers, over HTTPS with a certificate that nobody
// has signed.
func (k *Kubelet) Endpoint() string {
	return net.JoinHostPort(k.options.Address, strconv.Itoa(k.server.port))
}

// start serves with a certificate that nobody has signed, which the API server
// takes when it has no authority for nodes configured.
func (s *server) start(address string, k *Kubelet) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(7 * 24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(address)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveLog)
	mux.HandleFunc("GET /metrics/cadvisor", k.serveUsage)
	mux.HandleFunc("GET /scraped", k.serveScraped)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return k.ctx },
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	go func() { _ = s.http.ServeTLS(l, "", "") }() // ends with close
	return nil
}

func (s *server) close() error {
	if s.http == nil {
		return nil
	}
	return s.http.Close()
}

// serveLog answers with a container's log as the real kubelet does.
func (k *Kubelet) serveLog(w http.ResponseWriter, r *http.Request) {
	p := k.find(r.PathValue("namespace"), r.PathValue("pod"))
	if p == nil {
		http.Error(w, "no such pod on this node", http.StatusNotFound)
		return
	}
	for _, c := range p.containers {
		if c.spec.Name == r.PathValue("container") {
			c.serveLog(w, r)
			return
		}
	}
	http.Error(w, "the pod has no such container", http.StatusNotFound)
}

func (c *container) serveLog(w http.ResponseWriter, r *http.Request) {
	ask, err := parseLogQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	start, state := c.starts-1, c.state
	c.mu.Unlock()
	if ask.previous {
		start--
	}
	if start < 0 {
		why := fmt.Sprintf("previous terminated container %q in pod %q not found", c.spec.Name, c.pod.name)
		if !ask.previous && state.Waiting != nil {
			why = fmt.Sprintf("container %q in pod %q is waiting to start: %s", c.spec.Name, c.pod.name, state.Waiting.Reason)
		}
		http.Error(w, why, http.StatusBadRequest)
		return
	}
	f, err := os.Open(c.logFile(start))
	if err != nil {
		http.Error(w, "the container's log is not there any more", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain")
	over := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.starts-1 != start || c.pid == 0
	}
	ask.copy(r.Context(), w, f, over)
}

// logQuery is what of a log is wanted.
type logQuery struct {
	follow, previous, timestamps bool
	since                        time.Time
	tail, limit                  int64 // negative means all
	stream                       string
}

func parseLogQuery(q url.Values) (logQuery, error) {
	yes := func(name string) bool { v := q.Get(name); return v == "true" || v == "1" }
	ask := logQuery{follow: yes("follow"), previous: yes("previous"), timestamps: yes("timestamps"), tail: -1, limit: -1}
	if s := strings.ToLower(q.Get("stream")); s != "all" {
		ask.stream = s
	}
	var seconds int64
	for name, to := range map[string]*int64{"tailLines": &ask.tail, "limitBytes": &ask.limit, "sinceSeconds": &seconds} {
		if s := q.Get(name); s != "" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil || n < 0 {
				return ask, fmt.Errorf("%s is %q; give a whole number", name, s)
			}
			*to = n
		}
	}
	if seconds > 0 {
		ask.since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	if s := q.Get("sinceTime"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return ask, fmt.Errorf("sinceTime is %q; give a time as in RFC 3339", s)
		}
		ask.since = t
	}
	return ask, nil
}

// copy writes the lines that are wanted, and goes on as the log grows if that
// is wanted too.
func (q logQuery) copy(ctx context.Context, w http.ResponseWriter, f *os.File, over func() bool) {
	lines := bufio.NewReaderSize(f, 64<<10)
	var held []string // of the tail
	holding := q.tail >= 0
	left := q.limit
	write := func(s string) bool {
		if left >= 0 {
			s = s[:min(int64(len(s)), left)]
			left -= int64(len(s))
		}
		_, err := io.WriteString(w, s)
		return err == nil && left != 0
	}
	part := ""
	ended := false
	for {
		s, err := lines.ReadString('\n')
		part += s
		if err == nil {
			line, ok := parseLine(strings.TrimSuffix(part, "\n"))
			part = ""
			if !ok || line.at.Before(q.since) || q.stream != "" && q.stream != line.stream {
				continue
			}
			text := line.text + "\n"
			if q.timestamps {
				text = line.at.Format(time.RFC3339Nano) + " " + text
			}
			if holding {
				held = append(held, text)
				held = held[max(0, int64(len(held))-q.tail):]
			} else if !write(text) {
				return
			}
			continue
		}
		if !errors.Is(err, io.EOF) {
			return
		}
		for _, text := range held {
			if !write(text) {
				return
			}
		}
		held, holding = nil, false
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		if ended || !q.follow || ctx.Err() != nil {
			return
		}
		// What was written before the end is read once more after it.
		if ended = over(); !ended {
			sleep(ctx, 100*time.Millisecond)
		}
	}
}
