package guarded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/test/plane/ports"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestAddressesThatAreRefused(t *testing.T) {
	for address, refusedWanted := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "::ffff:169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true,
		"fd00:ec2::254": true, "fd20:ce::254": true, "100.100.100.200": true, "192.0.0.192": true, "168.63.129.16": true,
		"64:ff9b::a9fe:a9fe": true, "2002:a9fe:a9fe::": true, "::169.254.169.254": true, "224.0.0.1": true, "ff02::1": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "192.168.1.1": false, "172.16.0.1": false, "fd12:3456::1": false,
		"93.184.216.34": false, "2606:4700::1111": false, "100.64.0.1": false, "64:ff9b::808:808": false, "0.0.0.0": false, "::": false,
	} {
		err := check(netip.MustParseAddr(address))
		if (err != nil) != refusedWanted || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, refused should be %v", address, err, refusedWanted)
		}
	}
}

func TestAMetadataAddressIsRefusedBeforeItIsDialled(t *testing.T) {
	for _, address := range []string{"http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/", "http://[fd00:ec2::254]/"} {
		for name, c := range map[string]*http.Client{"client": NewClient(Options{}), "transport": {Transport: NewTransport(Options{})}} {
			started := time.Now()
			_, _, err := get(t, c, address)
			if !errors.Is(err, ErrRefused) || time.Since(started) > 5*time.Second {
				t.Errorf("%s, %s: %v after %s", name, address, err, time.Since(started))
			}
		}
	}
}

// A name is judged by the address that it has at the moment of dialling. The
// resolver here is a real one, a small DNS server, which tells a harmless
// address first and the metadata address from then on.
func TestANameThatChangesItsAddressIsRefused(t *testing.T) {
	var asked atomic.Int32
	server := dnsServer(t, func() [4]byte {
		if asked.Add(1) == 1 {
			return [4]byte{127, 0, 0, 1}
		}
		return [4]byte{169, 254, 169, 254}
	})
	d := net.Dialer{Control: control, Timeout: 5 * time.Second, Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := d.Dial("tcp4", "rebinding.example.:"+port)
	if err != nil {
		t.Fatalf("at its harmless address: %v", err)
	}
	conn.Close()
	if _, err = d.Dial("tcp4", "rebinding.example.:"+port); !errors.Is(err, ErrRefused) {
		t.Errorf("at the metadata address: %v", err)
	}
}

// dnsServer answers every question about an IPv4 address.
func dnsServer(t *testing.T, address func() [4]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			question := buf[12:n]
			end := bytes.IndexByte(question, 0) + 5 // name, type, class
			ip := address()
			answer := append([]byte{}, buf[:2]...)                      // the question's id
			answer = append(answer, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0) // a response with one answer
			answer = append(answer, question[:end]...)
			answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // its name, A, IN, no caching
			answer = append(answer, ip[:]...)
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return conn.LocalAddr().String()
}

func TestARedirectToAMetadataAddressIsRefused(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
	if _, _, err := get(t, NewClient(Options{Redirects: 3}), url); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("client: %v", err)
	}
	// Libraries follow redirects by their own rules; the dial is refused then.
	if _, _, err := get(t, &http.Client{Transport: NewTransport(Options{})}, url); !errors.Is(err, ErrRefused) {
		t.Errorf("transport: %v", err)
	}
	resp, _, err := get(t, NewClient(Options{}), url)
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Errorf("without redirects: %v, %v", resp, err)
	}
}

func TestRedirectsAreLimitedAndStayOnTheHost(t *testing.T) {
	var atOther atomic.Int32
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { atOther.Add(1) })
	var hops atomic.Int32
	here := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other, http.StatusFound)
		case "/twice":
			http.Redirect(w, r, "/once", http.StatusFound)
		case "/once":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/there":
			fmt.Fprint(w, "arrived")
		default:
			hops.Add(1)
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	})
	c := NewClient(Options{Redirects: 2})
	if _, body, err := get(t, c, here+"/twice"); err != nil || string(body) != "arrived" {
		t.Errorf("two redirects: %q, %v", body, err)
	}
	if _, _, err := get(t, c, here+"/loop"); err == nil || hops.Load() != 3 {
		t.Errorf("an endless redirect: %v after %d requests", err, hops.Load())
	}
	if _, _, err := get(t, c, here+"/away"); err == nil || atOther.Load() != 0 {
		t.Errorf("to another host: %v, asked %d times", err, atOther.Load())
	}
}

func TestABodyIsBounded(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := 1000
		if r.URL.Path == "/large" {
			n = 10 << 20
		}
		_, _ = w.Write(make([]byte, n))
	})
	c := NewClient(Options{MaxBody: 1000})
	if _, body, err := get(t, c, url); err != nil || len(body) != 1000 {
		t.Errorf("exactly at the bound: %d bytes, %v", len(body), err)
	}
	if _, body, err := get(t, c, url+"/large"); !errors.Is(err, ErrTooLarge) || len(body) != 1000 {
		t.Errorf("above: %d bytes, %v", len(body), err)
	}
	library := &http.Client{Transport: NewTransport(Options{MaxBody: 1000})}
	if _, body, err := get(t, library, url+"/large"); err == nil || len(body) > 200<<10 {
		t.Errorf("through the transport: %d bytes, %v", len(body), err)
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	hang := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, never reads
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o := Options{Timeout: 300 * time.Millisecond}
	for name, c := range map[string]*http.Client{"client": NewClient(o), "transport": {Transport: NewTransport(o)}} {
		for _, url := range []string{hang, hang + "/body", "http://" + silent.Addr().String()} {
			started := time.Now()
			_, _, err := get(t, c, url)
			if err == nil || time.Since(started) > 5*time.Second {
				t.Errorf("%s, %s: %v after %s", name, url, err, time.Since(started))
			}
		}
	}
}

func TestTheProxyOfTheEnvironmentIsUsedOnlyWhereAsked(t *testing.T) {
	for _, proxied := range []bool{false, true} {
		transport := newTransport(Options{Proxy: proxied}, dial)
		if (transport.Proxy != nil) != proxied {
			t.Errorf("proxy asked for: %v, set: %v", proxied, transport.Proxy != nil)
		}
	}
}

func TestALiteralMetadataAddressIsRefusedEvenThroughAProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	c := NewClient(Options{Proxy: true})
	transport := c.Transport.(bounded).Transport
	transport.Proxy = func(r *http.Request) (*url.URL, error) { return url.Parse(proxy) }
	if _, _, err := get(t, c, "http://169.254.169.254/"); !errors.Is(err, ErrRefused) || asked.Load() != 0 {
		t.Errorf("got %v, the proxy was asked %d times", err, asked.Load())
	}
	if _, _, err := get(t, c, "http://shop.example/"); err != nil || asked.Load() != 1 {
		t.Errorf("another address: %v, the proxy was asked %d times", err, asked.Load())
	}
}

func TestErrorsAreExplainedWithoutTheURL(t *testing.T) {
	_, _, err := get(t, NewClient(Options{}), "http://"+ports.Keep(t)+"/s3cret")
	if text := Explain(context.Background(), err); strings.Contains(text, "s3cret") || !strings.Contains(text, "refused") {
		t.Errorf("got %q", text)
	}
}

func TestAConnectionIsKeptOnlyWhereThatIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		keep time.Duration
		want int64
	}{
		"kept":     {time.Minute, 1},
		"not kept": {0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			var dialled atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					dialled.Add(1)
				}
			}
			s.Start()
			defer s.Close()
			client := NewClient(Options{KeepAlive: c.keep})
			defer client.CloseIdleConnections()
			for range 5 {
				if _, _, err := get(t, client, s.URL); err != nil {
					t.Fatal(err)
				}
			}
			if got := dialled.Load(); got != c.want {
				t.Errorf("5 requests took %d connections, want %d", got, c.want)
			}
		})
	}
}
