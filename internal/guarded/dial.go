package guarded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects unless the address is refused. The check is made on the very
// address that is about to be connected to, after the name was looked up, so a
// name that changes its address between a check and a dial gains nothing.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: control}
	return d.DialContext(ctx, network, address)
}

func control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s is not an address", ErrRefused, address)
	}
	return check(ap.Addr())
}

// CheckHost looks a host up and refuses it when one of its addresses is
// refused. It is for libraries that dial themselves: a name that changes its
// address afterwards is not noticed.
func CheckHost(ctx context.Context, host string) error {
	if err := checkLiteral(host); err != nil {
		return err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if err := check(ip); err != nil {
			return err
		}
	}
	return nil
}

// NewTransport returns a transport with the same bounds for libraries that
// insist on a transport and give no context: a connection serves one exchange,
// ends with its Timeout and yields no more than MaxBody and a header's worth
// of bytes. Redirects are the library's own; each is dialled through here.
func NewTransport(o Options) *http.Transport {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	o.KeepAlive = 0
	return newTransport(o, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return newMortalConn(conn, o.Timeout, o.MaxBody+maxHeader)
	})
}

// mortalConn is a connection with a fixed end, in time and in bytes received.
type mortalConn struct {
	net.Conn
	end  time.Time
	left atomic.Int64
}

func newMortalConn(conn net.Conn, life time.Duration, bytes int64) (net.Conn, error) {
	m := &mortalConn{Conn: conn, end: time.Now().Add(life)}
	m.left.Store(bytes)
	if err := conn.SetDeadline(m.end); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *mortalConn) Read(p []byte) (int, error) {
	if m.left.Load() <= 0 {
		return 0, ErrTooLarge
	}
	n, err := m.Conn.Read(p)
	m.left.Add(-int64(n))
	return n, err
}

// The deadlines that callers set may shorten a connection's life, not lengthen it.
func (m *mortalConn) SetDeadline(t time.Time) error      { return m.Conn.SetDeadline(m.sooner(t)) }
func (m *mortalConn) SetReadDeadline(t time.Time) error  { return m.Conn.SetReadDeadline(m.sooner(t)) }
func (m *mortalConn) SetWriteDeadline(t time.Time) error { return m.Conn.SetWriteDeadline(m.sooner(t)) }

func (m *mortalConn) sooner(t time.Time) time.Time {
	if t.IsZero() || t.After(m.end) {
		return m.end
	}
	return t
}
