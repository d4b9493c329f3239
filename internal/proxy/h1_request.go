package proxy

import (
	"bytes"
	"net/http"
	"strings"
)

// requestHead is a plain request's head.
type requestHead struct {
	method string
	size   int   // of the head in the buffer, with the empty line
	length int64 // of the body
	close  bool  // the client wants no further answer on this connection
	force  Arm
	key    string // sticky key
}

// requestReader reads plain request heads and writes what the backend gets
// instead. It is fixed for a client connection.
type requestReader struct {
	forceHeader  string // lower case, as the next; empty: off
	stickyHeader string
	stickyCookie string
	trust        bool   // the client's X-Forwarded-* headers are kept
	forwarded    string // the header lines that say whose request it is, but for the host
}

func newRequestReader(cfg *Config, client string) requestReader {
	r := requestReader{
		forceHeader: strings.ToLower(cfg.ForceHeader),
		trust:       cfg.TrustForwarded,
		forwarded:   "X-Forwarded-For: " + client + "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ",
	}
	if cfg.Sticky != nil {
		r.stickyHeader, r.stickyCookie = strings.ToLower(cfg.Sticky.Header), cfg.Sticky.Cookie
	}
	return r
}

var plainMethods = [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions}

// read reads the head at the front of buf. When it is plain, out is the head for
// the backend, appended to out.
func (r *requestReader) read(buf, out []byte) (h requestHead, _ []byte, _ reading) {
	line, rest, state := nextLine(buf)
	if state != plain {
		return h, out, state
	}
	target, ok := h.requestLine(line)
	if !ok {
		return h, out, special
	}
	out = append(out, h.method...)
	out = append(out, ' ')
	out = append(out, target...)
	out = append(out, " HTTP/1.1\r\n"...)

	var host []byte
	var cookieKey string
	h.length = -1
	for {
		if line, rest, state = nextLine(rest); state != plain {
			return h, out, state
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := headerField(line)
		if !ok {
			return h, out, special
		}
		switch kind := kindOf(name); kind {
		case fieldOther, fieldDate, fieldContentType:
		case fieldHost:
			if host != nil || len(value) == 0 || !all(value, hostByte) {
				return h, out, special
			}
			host = value
		case fieldContentLength:
			if h.length >= 0 {
				return h, out, special
			}
			if h.length, ok = decimal(value); !ok {
				return h, out, special
			}
		case fieldConnection:
			switch {
			case is(value, "keep-alive"):
			case is(value, "close"):
				h.close = true
			default:
				return h, out, special
			}
			continue
		case fieldForwarded:
			if r.trust {
				return h, out, special
			}
			continue
		case fieldCookie:
			if r.stickyCookie != "" && cookieKey == "" {
				cookieKey = cookieValue(string(value), r.stickyCookie)
			}
		default:
			return h, out, special
		}
		if r.forceHeader != "" && h.force == "" && is(name, r.forceHeader) {
			h.force = forcedArm(string(value))
		}
		if r.stickyHeader != "" && h.key == "" && is(name, r.stickyHeader) {
			h.key = string(value)
		}
		out = append(out, line...)
		out = append(out, "\r\n"...)
	}
	if host == nil {
		return h, out, special
	}
	if h.key == "" {
		h.key = cookieKey
	}
	out = append(out, r.forwarded...)
	out = append(out, host...)
	out = append(out, "\r\n"...)
	if h.length < 0 {
		h.length = 0
		switch h.method {
		case http.MethodPost, http.MethodPut, http.MethodPatch:
			out = append(out, "Content-Length: 0\r\n"...)
		}
	}
	out = append(out, "\r\n"...)
	h.size = len(buf) - len(rest)
	return h, out, plain
}

func (h *requestHead) requestLine(line []byte) (target []byte, ok bool) {
	i := bytes.IndexByte(line, ' ')
	if i < 0 {
		return nil, false
	}
	for _, m := range plainMethods {
		if string(line[:i]) == m {
			h.method = m
		}
	}
	target, ok = bytes.CutSuffix(line[i+1:], []byte(" HTTP/1.1"))
	return target, ok && h.method != "" && validTarget(target)
}

// fieldKind sorts header names by what a proxy does with them.
type fieldKind int

const (
	fieldOther fieldKind = iota // end to end: passed on as it is
	fieldHost
	fieldContentLength
	fieldConnection
	fieldForwarded
	fieldCookie
	fieldSpecial // hop by hop, or it changes how the message is read
	fieldDate
	fieldContentType
)

func kindOf(name []byte) fieldKind {
	of := func(lower string, kind fieldKind) fieldKind {
		if is(name, lower) {
			return kind
		}
		return fieldOther
	}
	// Most names are told apart from these by length alone.
	switch len(name) {
	case 2:
		return of("te", fieldSpecial)
	case 4:
		return max(of("host", fieldHost), of("date", fieldDate))
	case 6:
		return max(of("expect", fieldSpecial), of("cookie", fieldCookie))
	case 7:
		return max(of("upgrade", fieldSpecial), of("trailer", fieldSpecial))
	case 9:
		return of("forwarded", fieldForwarded)
	case 10:
		return max(of("connection", fieldConnection), of("keep-alive", fieldSpecial))
	case 12:
		return of("content-type", fieldContentType)
	case 14:
		return of("content-length", fieldContentLength)
	case 15:
		return of("x-forwarded-for", fieldForwarded)
	case 16:
		return max(of("proxy-connection", fieldSpecial), of("x-forwarded-host", fieldForwarded))
	case 17:
		return max(of("transfer-encoding", fieldSpecial), of("x-forwarded-proto", fieldForwarded))
	case 18:
		return of("proxy-authenticate", fieldSpecial)
	case 19:
		return of("proxy-authorization", fieldSpecial)
	}
	return fieldOther
}
