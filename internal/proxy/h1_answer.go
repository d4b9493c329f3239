package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// passAny passes a response on that is not plain: chunked, with trailers, with
// informational responses before it, from HTTP/1.0, without a length. net/http
// reads it; first is what has been read of it already.
func (r *relay) passAny(first []byte) error {
	already := bytes.NewReader(bytes.Clone(first))
	src := io.MultiReader(already, relayReader{r})
	limited := &io.LimitedReader{R: src, N: int64(r.client.p.cfg.MaxHeaderBytes)}
	head := bufio.NewReader(limited)
	request := &http.Request{Method: r.method}

	var resp *http.Response
	for {
		var err error
		if resp, err = http.ReadResponse(head, request); err != nil {
			if limited.N <= 0 {
				return fmt.Errorf("%w: its header is larger than %d bytes", errMalformed, r.client.p.cfg.MaxHeaderBytes)
			}
			return err
		}
		if resp.StatusCode >= 200 {
			break
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return fmt.Errorf("%w: it switches protocols unasked", errMalformed)
		}
		if resp.StatusCode != http.StatusContinue { // nobody waits for that one
			if err := r.write(appendHead(nil, resp.Status, resp.Header)); err != nil {
				return err
			}
			r.answering = false // the response proper is still to come
		}
	}
	limited.N = 1<<63 - 1 // the body has no limit
	defer resp.Body.Close()
	r.x.answered(resp.StatusCode, isEventStream(resp.Header))

	removeHopByHop(resp.Header)
	bodiless := r.method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	chunked := resp.ContentLength < 0 && !bodiless
	if chunked {
		resp.Header.Del("Content-Length")
		resp.Header.Set("Transfer-Encoding", "chunked")
		if len(resp.Trailer) > 0 {
			names := make([]string, 0, len(resp.Trailer))
			for name := range resp.Trailer {
				names = append(names, name)
			}
			resp.Header.Set("Trailer", strings.Join(names, ", "))
		}
	} else if resp.ContentLength >= 0 && resp.StatusCode != http.StatusNoContent {
		resp.Header.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	if resp.Header.Get("Date") == "" {
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if r.isLast() {
		resp.Header.Set("Connection", "close")
	}
	if err := r.write(appendHead(nil, resp.Status, resp.Header)); err != nil {
		return err
	}
	if !bodiless {
		if err := r.unlimit(); err != nil {
			return err
		}
		if err := r.passBody(resp, chunked); err != nil {
			return err
		}
	}
	r.complete = !resp.Close && head.Buffered() == 0 && already.Len() == 0
	return nil
}

// passBody passes on the body, each piece at once, and the trailers.
func (r *relay) passBody(resp *http.Response, chunked bool) error {
	var frame bytes.Buffer
	chunks := httputil.NewChunkedWriter(&frame)
	buf := r.bufs.in[:copyBuffer]
	for {
		n, rerr := resp.Body.Read(buf)
		if n > 0 {
			piece := buf[:n]
			if chunked {
				frame.Reset()
				if _, err := chunks.Write(piece); err != nil {
					return err
				}
				piece = frame.Bytes()
			}
			if err := r.write(piece); err != nil {
				return err
			}
			r.x.out.bytesOut += uint64(n)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return rerr
		}
	}
	if !chunked {
		return nil
	}
	end := bytes.NewBufferString("0\r\n")
	removeHopByHop(resp.Trailer)
	if err := resp.Trailer.Write(end); err != nil {
		return err
	}
	end.WriteString("\r\n")
	return r.write(end.Bytes())
}

// relayReader reads from the backend the patient way.
type relayReader struct{ r *relay }

func (b relayReader) Read(p []byte) (int, error) { return b.r.read(p) }

// hopByHop are the headers that end at the next proxy (RFC 9110, 7.6.1).
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

func appendHead(out []byte, status string, h http.Header) []byte {
	buf := bytes.NewBuffer(out)
	buf.WriteString("HTTP/1.1 " + status + "\r\n")
	_ = h.Write(buf) // a buffer takes everything; Write itself checks names and values
	buf.WriteString("\r\n")
	return buf.Bytes()
}

// appendFailure is the answer to a request that has none.
func appendFailure(out []byte, arm Arm, err error, last bool) []byte {
	status, text := failure(arm, err)
	h := http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"X-Content-Type-Options": {"nosniff"},
		"Content-Length":         {strconv.Itoa(len(text))},
		"Date":                   {time.Now().UTC().Format(http.TimeFormat)},
	}
	if last {
		h.Set("Connection", "close")
	}
	return append(appendHead(out, strconv.Itoa(status)+" "+http.StatusText(status), h), text...)
}
