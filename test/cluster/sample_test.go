//go:build plane

package cluster

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// sampleArg makes this test program the service that is released.
const sampleArg = "be-the-sample"

func there(file string) bool {
	_, err := os.Stat(file)
	return file != "" && err == nil
}

// sample answers its version and its pod, with the faults that its flags ask
// for.
func sample(args []string) int {
	f := flag.NewFlagSet("sample", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:0", "address")
	version := f.String("version", "", "what it answers")
	errorRate := f.Float64("errors", 0, "fraction of requests that fail")
	errorsWhen := f.String("errors-when", "", "fail every second request while there is such a file")
	// As services answer. Of two milliseconds a busy machine would add most, and to which
	// version it adds more is chance: a good one is held then, and rightly.
	delay := f.Duration("delay", 20*time.Millisecond, "time an answer takes")
	coldWhen := f.String("cold-when", "", "be slower for good when there is such a file at the start")
	unready := f.Bool("unready", false, "never become ready")
	crash := f.Duration("crash", 0, "end by itself after this long")
	unreadyWhen := f.String("unready-when", "", "not be ready while there is such a file")
	crashWhen := f.String("crash-when", "", "end by itself while there is such a file")
	hungry := f.Duration("hungry", 0, "be killed as for want of memory after this long")
	if err := f.Parse(args); err != nil {
		return 4
	}
	// There are dozens, on few processors.
	debug.SetGCPercent(400)
	runtime.GOMAXPROCS(1)
	if there(*coldWhen) {
		*delay += 250 * time.Millisecond
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if *crash > 0 {
		go func() {
			time.Sleep(*crash)
			fmt.Fprintln(os.Stderr, "panic: this version does not work")
			os.Exit(2)
		}()
	}
	if *hungry > 0 {
		go func() {
			time.Sleep(*hungry)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}()
	}
	if *crashWhen != "" {
		go func() {
			for !there(*crashWhen) {
				time.Sleep(50 * time.Millisecond)
			}
			fmt.Fprintln(os.Stderr, "panic: this version does not work any more")
			os.Exit(2)
		}()
	}
	fmt.Println("this is", *version)
	var stopping atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if *unready || stopping.Load() || there(*unreadyWhen) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	// Its own figures, as OpenTelemetry names them.
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_request_duration_seconds", Buckets: prometheus.DefBuckets,
	}, []string{"http_response_status_code"})
	figures := prometheus.NewRegistry()
	figures.MustRegister(took)
	for _, code := range []string{"200", "500"} {
		took.WithLabelValues(code)
	}
	mux.Handle("/metrics", promhttp.HandlerFor(figures, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		begun, code := time.Now(), http.StatusOK
		defer func() { took.WithLabelValues(strconv.Itoa(code)).Observe(time.Since(begun).Seconds()) }()
		time.Sleep(*delay)
		w.Header().Set("X-Version", *version)
		w.Header().Set("X-Pod", os.Getenv("POD_NAME"))
		if rand.Float64() < *errorRate || rand.IntN(2) == 0 && there(*errorsWhen) {
			code = http.StatusInternalServerError
			w.WriteHeader(code)
		}
		fmt.Fprintln(w, *version)
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		// As a well-behaved server: out of the endpoints first, then no more.
		// Traefik takes a change up two seconds after the one before at the
		// soonest, and later on a machine that is busy.
		stopping.Store(true)
		time.Sleep(5 * time.Second)
		grace, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	time.Sleep(100 * time.Millisecond)
	return 0
}
