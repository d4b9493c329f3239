//go:build plane

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// sampleArg makes this program the service that is released.
const sampleArg = "be-the-sample"

// sample answers its version, with the faults that its flags ask for.
func sample(args []string) int {
	f := flag.NewFlagSet("sample", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:0", "address")
	version := f.String("version", "", "what it answers")
	wrong := f.Float64("errors", 0, "fraction of requests that fail")
	delay := f.Duration("delay", 20*time.Millisecond, "time that an answer takes on average")
	if err := f.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var stopping atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if stopping.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		// Half of it always and half of it by chance, as real times are spread.
		time.Sleep(*delay/2 + time.Duration(rand.ExpFloat64()*float64(*delay/2)))
		w.Header().Set("X-Version", *version)
		if rand.Float64() < *wrong {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprintln(w, *version)
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		// As a well-behaved server: out of the endpoints first, then no more.
		stopping.Store(true)
		time.Sleep(2 * time.Second)
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
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
