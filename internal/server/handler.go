package server

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Bounds on what one request may cost.
const (
	maxBody = 256 << 10
	// bodyTime bounds the reading of a request's body.
	bodyTime = 10 * time.Second
	// stepTime bounds one write of an answer to a client that does not read.
	stepTime = time.Minute
)

// api is the API over one program.
type api struct {
	backend Backend
}

// New returns the API over the program.
func New(b Backend, version string) http.Handler {
	mux := http.NewServeMux()
	a := &api{backend: b}
	doc := humago.New(mux, config(version))
	a.rollouts(doc)
	a.runs(doc)
	a.records(doc)
	a.intents(doc)
	a.events(doc)
	a.logs(doc)
	mux.HandleFunc("/", unknown)
	return bounded(mux)
}

func config(version string) huma.Config {
	c := huma.DefaultConfig("Serin", version)
	c.Info.Description = "Rollouts and runs of Serin on one machine. Errors are RFC 9457 problem details with a code."
	// The document is served; pages that would load scripts from elsewhere are
	// not.
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = append(c.Transformers, withCode)
	return c
}

// operation is what all operations have.
func operation(method, path, id, summary string, failures ...int) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		MaxBodyBytes: maxBody, BodyReadTimeout: bodyTime,
		Errors: append(failures, http.StatusInternalServerError, http.StatusServiceUnavailable),
	}
}

// bounded gives every answer a time in which its first part must be taken.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not every transport has deadlines: within the process there is
		// nobody to wait for.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxWait + stepTime))
		next.ServeHTTP(w, r)
	})
}

func unknown(w http.ResponseWriter, r *http.Request) {
	write(w, problem(http.StatusNotFound, CodeNotFound, r.Method+" "+r.URL.Path+" is not part of this API; see /openapi.json"))
}
