package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sampleArg makes the test's own program the sample server.
const sampleArg = "sample-server"

// Headers of every answer of the sample server.
const (
	versionHeader = "Sample-Version"
	pidHeader     = "Sample-Pid"
	// wantedHeader is on an error that the version was told to answer with.
	wantedHeader = "Sample-Error"
)

// Variables of the sample server's environment.
const (
	ownerEnv = "MACHINE_TEST_OWNER" // the process whose end ends the server
	testEnv  = "MACHINE_TEST_ID"    // which test it belongs to
)

// sample is a version to release: a small web server with faults by flag.
func sample(args []string) int {
	f := flag.NewFlagSet(sampleArg, flag.ContinueOnError)
	listen := f.String("listen", "", "address to listen on")
	version := f.String("version", "", "version that the answers name")
	wrong := f.Float64("errors", 0, "fraction of requests that answer 500")
	brokenFile := f.String("broken-when", "", "while this file is there, half of the requests answer 500")
	delay := f.Duration("delay", 0, "time that every answer takes")
	raises := f.Float64("raises", 0, "fraction of requests that write an exception to the log and are answered all the same")
	panics := f.Float64("panics", 0, "fraction of requests whose handler panics")
	exits := f.Bool("exits", false, "exits with status 7 before it listens")
	coldWhen := f.String("cold-when", "", "a process that starts while this file is there takes 6 ms longer for every answer, as a fresh one does")
	burn := f.Int("burn", 0, "rounds of work that every answer costs; a thousand are about a millisecond")
	keep := f.Int("keep", 0, "bytes that every answer leaves in memory")
	neverReady := f.Bool("never-ready", false, "the health page says no")
	if err := f.Parse(args); err != nil {
		return 4
	}
	if *exits {
		fmt.Fprintln(os.Stderr, "panic: the recommendations are nil")
		return 7
	}
	if _, err := os.Stat(*coldWhen); *coldWhen != "" && err == nil {
		*delay += 6 * time.Millisecond
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ctx = whileOwned(ctx)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if *neverReady {
			http.Error(w, "still warming up", http.StatusServiceUnavailable)
		}
	})
	var mu sync.Mutex
	var kept [][]byte
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		work := sha256.Sum256([]byte(*version))
		for range *burn {
			work = sha256.Sum256(append(work[:], work[:]...))
		}
		if *keep > 0 {
			mu.Lock()
			kept = append(kept, bytes.Repeat(work[:1], *keep))
			mu.Unlock()
		}
		w.Header().Set(versionHeader, *version)
		w.Header().Set(pidHeader, strconv.Itoa(os.Getpid()))
		pause := *delay
		if d, err := time.ParseDuration(r.URL.Query().Get("for")); err == nil {
			pause = min(d, time.Minute)
		}
		if pause > 0 {
			time.Sleep(pause)
		}
		broken := *wrong
		if _, err := os.Stat(*brokenFile); *brokenFile != "" && err == nil {
			broken = 0.5
		}
		if rand.Float64() < *panics {
			panic("the order of user No. 4711 is nil")
		}
		if rand.Float64() < *raises {
			fmt.Fprint(os.Stderr, "Traceback (most recent call last):\n  File \"/app/shop/cart.py\", line 12, in add\n    pay(card)\nTimeoutError: card No. 4711\n")
		}
		if rand.Float64() < broken {
			w.Header().Set(wantedHeader, "yes")
			http.Error(w, "this version is broken", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "hello from "+*version)
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Fprintf(os.Stderr, "%s listens on %s\n", *version, *listen)
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, err)
		return 1
	case <-ctx.Done():
	}
	last, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if err := server.Shutdown(last); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// whileOwned ends when the test that owns the server is gone, however it went.
func whileOwned(ctx context.Context) context.Context {
	owner, err := strconv.Atoi(os.Getenv(ownerEnv))
	if err != nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for ctx.Err() == nil && !errors.Is(syscall.Kill(owner, 0), syscall.ESRCH) {
			time.Sleep(300 * time.Millisecond)
		}
	}()
	return ctx
}

// instances returns the process ids of a test's sample servers, by version.
func instances(id string) map[string][]int {
	found := map[string][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return found
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00"+testEnv+"="+id+"\x00") {
			continue
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(string(cmdline), "\x00")
		if len(args) < 2 || args[1] != sampleArg {
			continue
		}
		for n, arg := range args {
			if arg == "-version" && n+1 < len(args) {
				found[args[n+1]] = append(found[args[n+1]], pid)
			}
		}
	}
	return found
}
