package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// graceTime bounds the wait for requests in flight when the API stops.
const graceTime = 2 * time.Second

// againTime is the pause before a socket is listened at again.
const againTime = time.Second

// Keep serves at l, which listens at the socket at path, until ctx ends. When it
// comes to an end before, it says so and listens there again.
func Keep(ctx context.Context, l net.Listener, path string, h http.Handler, log *slog.Logger) {
	err := Serve(ctx, l, h, log)
	for ctx.Err() == nil {
		log.Error("the API does not answer; it is served again", "socket", path, "error", err)
		select {
		case <-time.After(againTime):
		case <-ctx.Done():
			return
		}
		if l, err = Listen(path); err == nil {
			err = Serve(ctx, l, h, log)
		}
	}
	if err != nil {
		log.Warn("the API did not end in good order", "socket", path, "error", err)
	}
}

// Serve answers requests at l until ctx ends, then waits a moment for those in
// flight. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	// Waiting requests end with the program.
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: bodyTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       atOtherEnd,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err := s.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
