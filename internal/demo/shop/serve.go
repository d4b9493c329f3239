package shop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Main runs the shop as a program of its own until it is told to stop, and
// returns its exit code.
func Main(args []string, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen, owner, cfg, err := parse(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(stderr, "shop:", err)
		return 4
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	// The shop shares its machine with the proxy and the users. On one processor
	// an answer wakes one thread, so that a version with few requests is as quick
	// as one that is kept busy.
	runtime.GOMAXPROCS(1)
	if owner > 0 {
		ctx = whileAlive(ctx, owner)
	}
	if err := Run(ctx, listen, cfg); err != nil {
		fmt.Fprintln(stderr, "shop:", err)
		return 1
	}
	return 0
}

// whileAlive ends with ctx, or with the process: a demo that was killed leaves
// no shop behind.
func whileAlive(ctx context.Context, pid int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
				return
			}
			select {
			case <-time.After(ownerInterval):
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx
}

// ownerInterval is how often it is looked whether the owner is still there.
const ownerInterval = 200 * time.Millisecond

func parse(args []string, stderr io.Writer) (listen string, owner int, cfg Config, err error) {
	f := flag.NewFlagSet("demo-shop", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on")
	f.StringVar(&cfg.Version, "version", "v1", "version that the answers name")
	f.Uint64Var(&cfg.Seed, "seed", 0, "seed of the shop's randomness; 0 takes a new one and prints it")
	f.Float64Var(&cfg.PaymentFailures, "payment-failures", DefaultPaymentFailures, "fraction of checkouts that fail")
	f.Float64Var(&cfg.Pace, "pace", 1, "scales every response time")
	f.IntVar(&owner, "owner", 0, "process id of a program to end with")
	f.Float64Var(&cfg.Faults.Errors, "errors", 1, "fault: multiplies the payment failures")
	f.Float64Var(&cfg.Faults.Slow, "slow", 1, "fault: multiplies the response times")
	f.Float64Var(&cfg.Faults.Panics, "panics", 0, "fault: fraction of requests that panic")
	f.Float64Var(&cfg.Faults.LeakMB, "leak", 0, "fault: megabytes leaked a second")
	f.Float64Var(&cfg.Faults.Burn, "burn", 0, "fault: processor cores kept busy")
	f.BoolVar(&cfg.Faults.NeverReady, "never-ready", false, "fault: the health page says no")
	exit := f.Duration("exit-after", 0, "fault: exits by itself after this time")
	if err := f.Parse(args); err != nil {
		return "", 0, Config{}, err
	}
	if f.NArg() > 0 {
		return "", 0, Config{}, fmt.Errorf("unexpected argument %q; the shop takes flags only (-help lists them)", f.Arg(0))
	}
	cfg.Faults.ExitAfter = Seconds(*exit)
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	return listen, owner, cfg, nil
}

// Run serves the shop until ctx ends, then finishes what is under way.
func Run(ctx context.Context, listen string, cfg Config) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w; give a free address with -listen", listen, err)
	}
	s.cfg.Logger.Info("shop open", "version", cfg.Version, "address", ln.Addr().String(), "seed", cfg.Seed)
	return s.serveOn(ctx, ln)
}

const (
	headerTimeout = 10 * time.Second
	// longest bounds an answer, closing the time to finish what is under way.
	longest = time.Minute
	closing = 10 * time.Second
)

func (s *Shop) serveOn(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       longest,
		WriteTimeout:      longest,
		IdleTimeout:       2 * longest,
		ErrorLog:          log.New(logWriter{s.cfg.Logger}, "", 0),
	}
	ailing, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(ln) }()
	go func() {
		if err := s.ail(ailing); err != nil {
			failed <- err
		}
	}()
	select {
	case err := <-failed:
		server.Close()
		return err
	case <-ctx.Done():
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer done()
	s.cfg.Logger.Info("shop closing", "version", s.cfg.Version)
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("finishing the requests that are under way: %w", err)
	}
	return nil
}

// logWriter hands net/http's own complaints, a panic's stack among them, to the
// shop's log.
type logWriter struct{ logger *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.logger.Error(string(p))
	return len(p), nil
}
