package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/store"
)

// Code names a kind of failure for programs; it never changes its meaning.
type Code string

const (
	CodeInvalid        Code = "invalid"
	CodeNotFound       Code = "notFound"
	CodeUnknownRollout Code = "unknownRollout"
	CodeNotRunning     Code = "notRunning"
	CodeActive         Code = "active"
	CodeEnded          Code = "ended"
	CodeNothingToDo    Code = "nothingToDo"
	CodeRefused        Code = "refused"
	CodeStableDown     Code = "stableDown"
	CodeConflict       Code = "conflict"
	CodeNotYet         Code = "notYet"
	CodeForbidden      Code = "forbidden"
	CodeFull           Code = "full"
	CodeNewer          Code = "newer"
	CodeUnavailable    Code = "unavailable"
	CodeInternal       Code = "internal"
)

// Problem is the body of every error: RFC 9457 problem details with a code.
type Problem struct {
	huma.ErrorModel
	Code Code `json:"code" doc:"What kind of failure it is, for programs" example:"notFound"`
}

// Error says what went wrong, with every detail, in one line.
func (p *Problem) Error() string {
	text := p.Detail
	for _, e := range p.Errors {
		text += "; " + e.Error()
	}
	return text
}

// errNotYet: what was asked for is made when the run ends.
var errNotYet = errors.New("not there yet")

// errForbidden: nobody knows who asks.
var errForbidden = errors.New("not permitted")

// errInvalid: what was asked makes no sense for this run.
var errInvalid = errors.New("not valid")

// ErrMisconfigured: what somebody wrote, and the request is about, is wrong.
var ErrMisconfigured = errors.New("wrong configuration")

// edge says how the program's errors are told to clients: the first that an
// error wraps decides.
var edge = []struct {
	err    error
	status int
	code   Code
}{
	{ErrUnknownRollout, http.StatusNotFound, CodeUnknownRollout},
	{ErrNothingToDo, http.StatusConflict, CodeNothingToDo},
	{ErrStableDown, http.StatusConflict, CodeStableDown},
	{ErrRefusedCandidate, http.StatusUnprocessableEntity, CodeRefused},
	{ErrNotRunning, http.StatusServiceUnavailable, CodeNotRunning},
	{ErrStopping, http.StatusServiceUnavailable, CodeUnavailable},
	{errNotYet, http.StatusNotFound, CodeNotYet},
	{errInvalid, http.StatusUnprocessableEntity, CodeInvalid},
	{ErrMisconfigured, http.StatusUnprocessableEntity, CodeInvalid},
	{errForbidden, http.StatusForbidden, CodeForbidden},
	{store.ErrForbidden, http.StatusForbidden, CodeForbidden},
	{store.ErrNotFound, http.StatusNotFound, CodeNotFound},
	{store.ErrActive, http.StatusConflict, CodeActive},
	{store.ErrEnded, http.StatusConflict, CodeEnded},
	{store.ErrConflict, http.StatusConflict, CodeConflict},
	{store.ErrFull, http.StatusInsufficientStorage, CodeFull},
	{store.ErrNewer, http.StatusServiceUnavailable, CodeNewer},
	{store.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable},
	{fs.ErrNotExist, http.StatusNotFound, CodeNotFound},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, CodeUnavailable},
}

// told turns an error of the program into the problem that a client reads.
func told(err error) error {
	var p *Problem
	if err == nil || errors.As(err, &p) {
		return err
	}
	for _, e := range edge {
		if errors.Is(err, e.err) {
			return problem(e.status, e.code, err.Error())
		}
	}
	return problem(http.StatusInternalServerError, CodeInternal, err.Error())
}

func problem(status int, code Code, detail string) *Problem {
	return &Problem{
		ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail},
		Code:       code,
	}
}

// withCode gives the framework's own errors, about requests that do not fit the
// document, a code like all others.
func withCode(_ huma.Context, _ string, body any) (any, error) {
	m, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	code := CodeInvalid
	switch {
	case m.Status == http.StatusNotFound:
		code = CodeNotFound
	case m.Status >= http.StatusInternalServerError:
		code = CodeInternal
	}
	return &Problem{ErrorModel: *m, Code: code}, nil
}

// HasCode reports whether an error from a Client has one of the codes.
func HasCode(err error, codes ...Code) bool {
	var p *Problem
	return errors.As(err, &p) && slices.Contains(codes, p.Code)
}

// Answered reports whether an error from a Client is an answer, and not the
// lack of one.
func Answered(err error) bool {
	var p *Problem
	return errors.As(err, &p)
}
