package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// InProcess returns a transport to h that needs no socket, for programs that
// read without a daemon: reading has one code path, whoever answers. Requests
// are made in the name of actor.
func InProcess(h http.Handler, actor string) http.RoundTripper {
	return &inProcess{handler: h, actor: actor}
}

type inProcess struct {
	handler http.Handler
	actor   string
}

func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(withActor(r.Context(), t.actor))
	read, write := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: write, begun: make(chan struct{})}
	request := r.Clone(ctx)
	if request.Body == nil {
		request.Body = http.NoBody
	}
	go func() {
		defer cancel()
		defer request.Body.Close()
		defer func() {
			// A handler that gives up half-way says so by this panic; any other
			// is a mistake of the program and ends it.
			if p := recover(); p != nil {
				if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				w.WriteHeader(http.StatusInternalServerError)
				_ = write.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = write.Close()
		}()
		t.handler.ServeHTTP(w, request)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		_ = read.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &pipeBody{read, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// pipeWriter hands an answer on while it is being written.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{}

	// status and sent are set before begun is closed.
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) Flush()              {}

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// pipeBody ends the handler when the reader has had enough.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *pipeBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
