package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/test/plane/ports"
)

// The test binary is also the processes that the tests start.
const roleVariable = "SERIN_PROXY_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "origin":
		err = runOrigin(os.Args[1], os.Args[2])
	case "proxy":
		err = runProxy(os.Args[1:])
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func runOrigin(addr, name string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	upgrader := websocket.Upgrader{}
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			named(name)(w, r)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, msg, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, msg) != nil {
				return
			}
		}
	}))
}

// runProxy serves stable=args[0] on a listener of its own, or, with "take", on the
// one inherited. SIGUSR2 hands it over to a successor.
func runProxy(args []string) error {
	// Long enough for the next request of a client on a busy machine.
	p, err := proxy.New(proxy.Config{DrainGrace: 5 * time.Second})
	if err != nil {
		return err
	}
	if err := p.Update(only(args[0])); err != nil {
		return err
	}
	var ln net.Listener
	if len(args) > 1 && args[1] == "take" {
		ln, err = proxy.FromFile(os.NewFile(3, "listener"))
	} else {
		ln, err = proxy.Listen("127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	handOver := make(chan os.Signal, 1)
	signal.Notify(handOver, syscall.SIGUSR2, syscall.SIGTERM)
	served := make(chan error, 1)
	go func() { served <- p.Serve(ln) }()
	fmt.Println("ready", ln.Addr())

	if <-handOver == syscall.SIGUSR2 {
		file, err := proxy.File(ln)
		if err != nil {
			return err
		}
		successor := command("proxy", args[0], "take")
		successor.SysProcAttr = nil // it outlives this process
		successor.ExtraFiles = []*os.File{file}
		out, err := successor.StdoutPipe()
		if err != nil {
			return err
		}
		if err := successor.Start(); err != nil {
			return err
		}
		file.Close()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for the successor: %w", err)
		}
		fmt.Print("successor ", successor.Process.Pid, " ", line)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startOriginProcess starts an origin and waits until it accepts.
func startOriginProcess(t *testing.T, addr, name string) *exec.Cmd {
	t.Helper()
	cmd := command("origin", addr, name)
	fatalf(t, cmd.Start(), "starting origin %s", name)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "origin "+name+" accepts", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return cmd
}

// load sends GETs from several connections as fast as they are answered, and
// forgives nothing: no retries, every answer whole and 200, a connection only
// closed where an answer has said so.
type load struct {
	stop          chan struct{}
	wg            sync.WaitGroup
	requests      atomic.Int64
	failures      atomic.Int64
	mu            sync.Mutex
	first         error
	reconnections atomic.Int64
}

func startLoad(addr string, clients int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range clients {
		// Every other client keeps its connection, the others make new ones.
		l.wg.Go(func() { l.run(addr, i%2 == 0) })
	}
	return l
}

func (l *load) run(addr string, keep bool) {
	var conn net.Conn
	var r *bufio.Reader
	drop := func() {
		if conn != nil {
			conn.Close()
		}
		conn = nil
	}
	defer drop()
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", addr, 5*time.Second); err != nil {
				l.fail(err)
				conn = nil
				time.Sleep(time.Millisecond)
				continue
			}
			l.reconnections.Add(1)
			r = bufio.NewReader(conn)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
		var resp *http.Response
		if err == nil {
			resp, err = http.ReadResponse(r, nil)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		l.requests.Add(1)
		if err != nil {
			l.fail(err)
			drop()
			continue
		}
		if resp.Close || !keep {
			drop()
		}
	}
}

func (l *load) fail(err error) {
	l.failures.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d requests over %d connections", l.requests.Load(), l.reconnections.Load())
	if n := l.failures.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, l.requests.Load(), l.first)
	}
	if l.requests.Load() < 100 {
		t.Errorf("only %d requests: the test shows nothing", l.requests.Load())
	}
}

// 200 switches through all phases and 20 kill -9 of the canary: users see nothing.
func TestSwitchesAndKilledCanariesFailNoRequest(t *testing.T) {
	stableAddr, canaryAddr := ports.Keep(t), ports.Keep(t)
	startOriginProcess(t, stableAddr, "stable")
	canary := startOriginProcess(t, canaryAddr, "canary")
	p := start(t, proxy.Config{EjectFor: 10 * time.Millisecond, EjectMax: 50 * time.Millisecond}, both(0, "http://"+stableAddr, "http://"+canaryAddr))
	l := startLoad(p.addr, 8)

	switched := make(chan struct{})
	go func() {
		defer close(switched)
		weights := []int{5, 10, 25, 50, 100, 0}
		for i := range 200 {
			if err := p.Update(both(weights[i%len(weights)], "http://"+stableAddr, "http://"+canaryAddr)); err != nil {
				t.Error(err)
			}
			time.Sleep(15 * time.Millisecond)
		}
	}()
	for range 20 {
		time.Sleep(60 * time.Millisecond)
		fatalf(t, canary.Process.Kill(), "kill -9")
		_ = canary.Wait()
		time.Sleep(20 * time.Millisecond)
		canary = startOriginProcess(t, canaryAddr, "canary")
	}
	<-switched
	l.end(t)
	s := p.Snapshot()
	t.Logf("canary: %d requests, errors %v; stable: %d requests, errors %v", s.Canary.Requests, s.Canary.ErrorsByClass, s.Stable.Requests, s.Stable.ErrorsByClass)
	if s.Stable.Errors != 0 {
		t.Errorf("stable has %d errors that are the canary's", s.Stable.Errors)
	}
	if s.Canary.Errors == 0 || s.Canary.Requests == s.Canary.Errors {
		t.Errorf("the canary was killed 20 times and served in between, but counts %d errors of %d requests", s.Canary.Errors, s.Canary.Requests)
	}
}

// A successor process takes the listener over: no connection is refused, no
// request cut, upgraded connections live on, and the old process ends.
func TestAListenerIsHandedOverToASuccessor(t *testing.T) {
	originAddr := ports.Keep(t)
	startOriginProcess(t, originAddr, "stable")
	old := command("proxy", "http://"+originAddr)
	out, err := old.StdoutPipe()
	fatalf(t, err, "pipe")
	fatalf(t, old.Start(), "starting the proxy")
	defer func() { _ = old.Process.Kill() }()
	lines := bufio.NewReader(out)
	var addr string
	line, err := lines.ReadString('\n')
	fatalf(t, err, "waiting for the proxy")
	_, err = fmt.Sscanf(line, "ready %s", &addr)
	fatalf(t, err, "%q", line)

	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
	fatalf(t, err, "websocket")
	defer conn.Close()
	l := startLoad(addr, 8)
	time.Sleep(300 * time.Millisecond)
	fatalf(t, old.Process.Signal(syscall.SIGUSR2), "signalling")
	line, err = lines.ReadString('\n')
	fatalf(t, err, "waiting for the successor")
	var pid int
	_, err = fmt.Sscanf(line, "successor %d ready", &pid)
	fatalf(t, err, "%q", line)
	successor, err := os.FindProcess(pid)
	fatalf(t, err, "successor")
	defer func() { _ = successor.Kill() }()

	time.Sleep(300 * time.Millisecond)
	for i := range 3 {
		fatalf(t, conn.WriteMessage(websocket.TextMessage, []byte(fmt.Sprint(i))), "the upgraded connection, writing")
		_, msg, err := conn.ReadMessage()
		if err != nil || string(msg) != fmt.Sprint(i) {
			t.Fatalf("the upgraded connection: %q, %v", msg, err)
		}
	}
	conn.Close()
	ended := make(chan error, 1)
	go func() { ended <- old.Wait() }()
	select {
	case err := <-ended:
		fatalf(t, err, "the old process")
	case <-time.After(40 * time.Second):
		t.Fatal("the old process does not end")
	}
	time.Sleep(200 * time.Millisecond)
	before := l.requests.Load()
	eventually(t, "the successor serves", func() bool { return l.requests.Load() > before+100 })
	l.end(t)
}
