package prometheus

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"serin.dev/serin/test/plane/ports"
)

const appAddress = "SERIN_TEST_APP"

// Main runs the program that tests scrape when this process is one; a test
// binary's TestMain calls it first.
func Main() {
	if address := os.Getenv(appAddress); address != "" {
		fmt.Fprintln(os.Stderr, serve(address))
		os.Exit(1)
	}
}

// serve answers requests and counts them. /?status=N is answered with N;
// /raise?class=C is an exception.
func serve(address string) error {
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests."}, []string{"code"})
	raised := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "exceptions_total", Help: "Exceptions."}, []string{"class"})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "Response times.", Buckets: []float64{0.001, 0.01, 0.1, 1}})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "http_native_duration_seconds", Help: "Response times.", NativeHistogramBucketFactor: 1.1})
	registry.MustRegister(requests, raised, classic, native, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	http.HandleFunc("/raise", func(_ http.ResponseWriter, r *http.Request) { raised.WithLabelValues(r.FormValue("class")).Inc() })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(r.FormValue("status"))
		if err != nil {
			status = http.StatusOK
		}
		took := time.Since(started(r)).Seconds()
		// Counted before it is answered: who has the answer knows the count.
		requests.WithLabelValues(strconv.Itoa(status)).Inc()
		classic.Observe(took)
		native.Observe(took)
		w.WriteHeader(status)
	})
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// started makes each request take a little.
func started(*http.Request) time.Time {
	at := time.Now()
	time.Sleep(200 * time.Microsecond)
	return at
}

// App is one program that counts the requests it gets.
type App struct {
	Address string
	process *exec.Cmd
}

// NewApp starts a program that ends with the test.
func NewApp(t *testing.T) *App {
	t.Helper()
	a := &App{Address: ports.Keep(t)}
	a.Run(t)
	t.Cleanup(a.Kill)
	return a
}

// Run starts it, anew and with counters at zero after Kill.
func (a *App) Run(t *testing.T) {
	t.Helper()
	a.process = exec.Command(os.Args[0])
	a.process.Env = append(os.Environ(), appAddress+"="+a.Address)
	a.process.Stderr = t.Output()
	if err := a.process.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for !answers("http://" + a.Address + "/metrics") {
		if time.Now().After(deadline) {
			t.Fatal("the program does not answer after 30 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Kill ends it without notice.
func (a *App) Kill() {
	if a.process.ProcessState == nil {
		_ = a.process.Process.Kill() // it may have ended by itself
		_ = a.process.Wait()         // says that it was killed
	}
}

// Pause stops it in its tracks, so that scrapes of it fail; Resume lets it go
// on.
func (a *App) Pause(t *testing.T)  { a.signal(t, syscall.SIGSTOP) }
func (a *App) Resume(t *testing.T) { a.signal(t, syscall.SIGCONT) }

func (a *App) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := a.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Load sends requests, of which the first so many are answered with an error.
func (a *App) Load(t *testing.T, requests, errors int) {
	t.Helper()
	for n := range requests {
		path := "/"
		if n < errors {
			path = "/?status=500"
		}
		a.Get(t, path)
	}
}

// Get sends one request.
func (a *App) Get(t *testing.T, path string) {
	t.Helper()
	resp, err := client.Get("http://" + a.Address + path)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // empty
	resp.Body.Close()
}
