package proxy

import (
	"net/http"
	"strconv"
)

// responseHead is a plain response's head.
type responseHead struct {
	status      int
	size        int   // of the head in the buffer, with the empty line
	length      int64 // of the body that follows
	close       bool  // the backend closes the connection afterwards
	dated       bool
	eventStream bool
}

// readResponseHead reads the head at the front of buf, a response to method, and
// appends to out what the client gets instead, but for the empty line.
func readResponseHead(method string, buf, out []byte) (h responseHead, _ []byte, _ reading) {
	line, rest, state := nextLine(buf)
	if state != plain {
		return h, out, state
	}
	// HTTP/1.1 200 OK
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " || len(line) > 12 && line[12] != ' ' || !all(line, valueByte) {
		return h, out, special
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 200 || status > 599 {
		return h, out, special
	}
	h.status = status
	out = append(out, line...)
	out = append(out, "\r\n"...)

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
		switch kindOf(name) {
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
		case fieldSpecial:
			if is(name, "keep-alive") {
				continue
			}
			return h, out, special
		case fieldDate:
			h.dated = true
		case fieldContentType:
			h.eventStream = len(value) >= 17 && is(value[:17], "text/event-stream")
		}
		out = append(out, line...)
		out = append(out, "\r\n"...)
	}
	switch {
	case method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified:
		h.length = 0
	case h.length < 0:
		return h, out, special // the body ends with the connection
	}
	h.size = len(buf) - len(rest)
	return h, out, plain
}
