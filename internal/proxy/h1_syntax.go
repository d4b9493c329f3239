package proxy

import "bytes"

// The direct data path (h1_conn.go) reads HTTP/1.1 heads itself, but only the
// plain ones. What it reads is a narrow grammar in which every reader of HTTP
// agrees where a message ends: CRLF line ends, no folding, no bytes outside
// visible ASCII, one Host, at most one Content-Length, no Transfer-Encoding, no
// Upgrade, no Expect. Everything else, odd, rare or hostile, is left to net/http,
// byte for byte as it came.

// reading is what became of reading a head.
type reading int

const (
	incomplete reading = iota // more bytes are needed
	plain                     // within the grammar
	special                   // something else: leave it to net/http
)

const (
	tokenByte  = 1 << iota // of a header name or method
	valueByte              // of a header value
	targetByte             // of a request target
	hostByte               // of a Host value
)

var byteKinds = func() (t [256]byte) {
	for c := range 256 {
		letterOrDigit := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if letterOrDigit || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= tokenByte
		}
		if c >= 0x20 && c < 0x7f || c == '\t' {
			t[c] |= valueByte
		}
		if letterOrDigit || bytes.IndexByte([]byte("-._~:/?@!$&'()*+,;=%"), byte(c)) >= 0 {
			t[c] |= targetByte
		}
		if letterOrDigit || bytes.IndexByte([]byte(".-:[]_"), byte(c)) >= 0 {
			t[c] |= hostByte
		}
	}
	return t
}()

func all(b []byte, kind byte) bool {
	for _, c := range b {
		if byteKinds[c]&kind == 0 {
			return false
		}
	}
	return true
}

// nextLine cuts the line at the front of buf, which must end in CRLF; the line is
// returned without.
func nextLine(buf []byte) (line, rest []byte, r reading) {
	i := bytes.IndexByte(buf, '\n')
	if i < 0 {
		return nil, buf, incomplete
	}
	if i == 0 || buf[i-1] != '\r' {
		return nil, buf, special
	}
	return buf[:i-1], buf[i+1:], plain
}

// headerField splits a header line.
func headerField(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !all(line[:i], tokenByte) {
		return nil, nil, false
	}
	value = line[i+1:]
	if !all(value, valueByte) {
		return nil, nil, false
	}
	return line[:i], bytes.Trim(value, " \t"), true
}

// is compares a header's name or token with a lower-case one.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads a Content-Length: digits and nothing else, of a size nobody
// reads differently.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func validTarget(t []byte) bool {
	if len(t) == 0 || t[0] != '/' || !all(t, targetByte) {
		return false
	}
	for {
		i := bytes.IndexByte(t, '%')
		if i < 0 {
			return true
		}
		if i+2 >= len(t) || !isHex(t[i+1]) || !isHex(t[i+2]) {
			return false
		}
		t = t[i+3:]
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
