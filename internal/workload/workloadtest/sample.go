package workloadtest

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// SampleArg as a program's first argument makes it the sample server: a test
// binary whose TestMain begins with MaybeSample can be started as an instance.
const SampleArg = "serin-sample-server"

// MaybeSample becomes the sample server, and does not return, when the program
// was started as one.
func MaybeSample() {
	if len(os.Args) > 1 && os.Args[1] == SampleArg {
		os.Exit(Sample(os.Args[2:]))
	}
}

// Sample is a small HTTP server with faults that can be switched on. It ends at
// SIGTERM and returns its exit status.
//
//	/healthz  200, or 503 while it was made unready
//	/version  its label
//	/env      its environment
//	/fault    POST ready=true|false, or exit=N: it ends with that status
func Sample(args []string) int {
	flags := flag.NewFlagSet("sample", flag.ContinueOnError)
	listen := flags.String("listen", "", "address")
	version := flags.String("version", "", "label")
	exit := flags.Int("exit", -1, "end at once with this status")
	crash := flags.String("panic", "", "panic at once with these words")
	stubborn := flags.Bool("stubborn", false, "ignore SIGTERM")
	linger := flags.Duration("linger", 0, "go on this long after SIGTERM")
	unready := flags.Bool("unready", false, "be unready")
	child := flags.Bool("child", false, "start a child that ignores SIGTERM")
	chatter := flags.Duration("chatter", 0, "write a line this often")
	burn := flags.Bool("burn", false, "keep one processor busy")
	if err := flags.Parse(args); err != nil {
		return 64
	}
	term := make(chan os.Signal, 1)
	if *stubborn {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	if *crash != "" {
		panic(*crash)
	}
	if *exit >= 0 {
		fmt.Fprintln(os.Stderr, "sample: told to end at once")
		return *exit
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		return 1
	}
	if *child {
		c := exec.Command(os.Args[0], SampleArg, "-stubborn", "-listen", "127.0.0.1:0")
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "sample:", err)
			return 1
		}
		fmt.Printf("child %d\n", c.Process.Pid)
	}
	if *chatter > 0 {
		go chat(*chatter)
	}
	if *burn {
		go func() {
			for {
				runtime.Gosched()
			}
		}()
	}
	done := make(chan int, 1)
	server := &http.Server{Handler: sampleHandler(*version, !*unready, done), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			done <- 1
		}
	}()
	select {
	case status := <-done:
		return status
	case <-term:
		fmt.Println("sample: asked to end")
		time.Sleep(*linger)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // what is left is cut by the exit
		fmt.Println("sample: ended")
		return 0
	}
}

// chat writes numbered lines, as fast as it can when pause is tiny.
func chat(pause time.Duration) {
	out := bufio.NewWriterSize(os.Stdout, 1)
	for n := 0; ; n++ {
		fmt.Fprintf(out, "line %08d %s\n", n, strings.Repeat("x", 80))
		out.Flush()
		time.Sleep(pause)
	}
}

func sampleHandler(version string, startReady bool, done chan<- int) http.Handler {
	var ready atomic.Bool
	ready.Store(startReady)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, version) })
	mux.HandleFunc("GET /pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
	})
	mux.HandleFunc("POST /fault", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("ready") != "":
			ready.Store(r.FormValue("ready") == "true")
		case r.FormValue("exit") != "":
			var status int
			if _, err := fmt.Sscan(r.FormValue("exit"), &status); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			done <- status
		}
	})
	return mux
}
