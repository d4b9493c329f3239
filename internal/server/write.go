package server

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// write answers with a problem where no operation is at work.
func write(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that has gone is nobody to tell
}

// stream answers with a body of unknown length. When copy fails, the connection
// is cut, so that the client cannot take what it got for the whole.
func stream(contentType string, copy func(w io.Writer) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusOK)
		out := &flushing{w: w, control: http.NewResponseController(w)}
		if err := copy(out); err != nil {
			panic(http.ErrAbortHandler)
		}
	}}
}

// flushing sends every write on its way at once and bounds how long it may take.
type flushing struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (f *flushing) Write(p []byte) (int, error) {
	_ = f.control.SetWriteDeadline(time.Now().Add(stepTime)) // see bounded
	n, err := f.w.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
