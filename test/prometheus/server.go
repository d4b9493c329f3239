// Package prometheus runs a real Prometheus, and real programs for it to
// scrape, for tests. It must not know who reads what was scraped.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/test/plane/build"
	"serin.dev/serin/test/plane/ports"
)

// Interval is how often the server scrapes.
const Interval = time.Second

// Server is a Prometheus that scrapes what it is told to.
type Server struct {
	URL string

	program, dir, address string
	process               *exec.Cmd
	targets               []Target
}

// Target is an address that is scraped, and the labels put on its series.
type Target struct {
	Address string
	Labels  map[string]string
}

const configuration = `global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
- job_name: shop
  file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
`

// Start starts a server that ends with the test. It keeps its data in the
// test's folder.
func Start(t *testing.T) *Server {
	t.Helper()
	s := prepare(t)
	s.Run(t)
	return s
}

// StartRecorded starts a server that has recorded the given samples, in the
// format of OpenMetrics with times.
func StartRecorded(t *testing.T, samples []byte) *Server {
	t.Helper()
	s := prepare(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	programs, err := build.Programs(ctx, t.Output(), build.Promtool)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "samples"), samples, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, programs[build.Promtool], "tsdb", "create-blocks-from", "openmetrics", "samples", "data")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("record the samples: %v\n%s", err, out)
	}
	s.Run(t)
	return s
}

// prepare makes a server's folder.
func prepare(t *testing.T) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	programs, err := build.Programs(ctx, t.Output(), build.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{program: programs[build.Prometheus], dir: t.TempDir(), address: ports.Keep(t)}
	s.URL = "http://" + s.address
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write(t)
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server, anew after Kill, with the data it had.
func (s *Server) Run(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(s.program,
		"--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+s.address,
		"--enable-feature=native-histograms", "--log.level=warn")
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.dir, log, log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for !answers(s.URL + "/-/ready") {
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("Prometheus is not ready after a minute:\n%s", said)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Kill ends the server without notice.
func (s *Server) Kill() {
	if s.process != nil && s.process.ProcessState == nil {
		_ = s.process.Process.Kill() // it may have ended by itself
		_ = s.process.Wait()         // says that it was killed
	}
}

// Scrape adds targets.
func (s *Server) Scrape(t *testing.T, targets ...Target) {
	t.Helper()
	s.targets = append(s.targets, targets...)
	s.write(t)
}

// Forget takes a target away.
func (s *Server) Forget(t *testing.T, address string) {
	t.Helper()
	s.targets = slices.DeleteFunc(s.targets, func(target Target) bool { return target.Address == address })
	s.write(t)
}

func (s *Server) write(t *testing.T) {
	t.Helper()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, target := range s.targets {
		groups = append(groups, group{[]string{target.Address}, target.Labels})
	}
	data, err := json.Marshal(groups)
	if err != nil {
		t.Fatal(err)
	}
	// Renamed into place, so that half a file is never read.
	file := filepath.Join(s.dir, "targets.json")
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// Await waits until an expression has a value, such as a sum that has been
// scraped.
func (s *Server) Await(t *testing.T, expression string, want float64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	got := ""
	for time.Now().Before(deadline) {
		if got = s.value(expression); got == fmt.Sprint(want) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s is %q after 30 s, want %v", expression, got, want)
}

func (s *Server) value(expression string) string {
	req, err := http.NewRequest(http.MethodGet, s.URL+"/api/v1/query", nil)
	if err != nil {
		return err.Error()
	}
	q := req.URL.Query()
	q.Set("query", expression)
	req.URL.RawQuery = q.Encode()
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Value []any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err.Error()
	}
	var values []string
	for _, r := range answer.Data.Result {
		values = append(values, fmt.Sprint(r.Value[1]))
	}
	return strings.Join(values, ", ")
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableKeepAlives: true}}

func answers(url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
