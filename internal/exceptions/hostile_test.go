package exceptions_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"serin.dev/serin/internal/exceptions"
)

func TestHowALogIsCutIntoPiecesChangesNothing(t *testing.T) {
	var log strings.Builder
	for _, c := range traces {
		log.WriteString(c.log)
		log.WriteString("2026-01-01 10:00:00 INFO all is well\n\n\n\n\n2026-01-01 10:00:01 INFO still\n")
		for range 12 {
			log.WriteString("2026-01-01 10:00:02 INFO GET / 200\n")
		}
	}
	want := read(log.String())
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := exceptions.NewReader()
		for rest := log.String(); rest != ""; {
			n := min(len(rest), 1+rng.IntN(300))
			_, _ = r.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if got := written(r); got != want {
			t.Fatalf("seed %d: classes are\n%s\nwant\n%s", seed, got, want)
		}
	}
}

func TestATraceThatIsTakenInItsMiddleCountsOnce(t *testing.T) {
	r := exceptions.NewReader()
	_, _ = r.Write([]byte("java.io.IOException: x\n\tat com.shop.disk.Disk.write(Disk.java:9)\n"))
	first := written(r)
	_, _ = r.Write([]byte("\tat com.shop.Main.main(Main.java:5)\nCaused by: java.lang.Error: y\n\tat com.shop.A.b(A.java:1)\n\nGET / 200\n"))
	if second := written(r); first != "IOException@disk.Disk.write" || second != "" {
		t.Errorf("classes are %q and then %q", first, second)
	}
}

func TestAStackIsGivenOnceAndHoldsNothingOfTheMessage(t *testing.T) {
	r := exceptions.NewReader()
	log := "Traceback (most recent call last):\n  File \"/app/cart.py\", line 3, in add\n    pay('hunter2')\nValueError: hunter2\nhunter2\n"
	_, _ = r.Write([]byte(log))
	first, _ := r.Take()
	_, _ = r.Write([]byte(log))
	second, _ := r.Take()
	if len(first) != 1 || !strings.Contains(first[0].Stack, "cart.add (app/cart.py:3)") || !strings.HasPrefix(first[0].Stack, "ValueError\n") {
		t.Fatalf("seen %+v, want a stack", first)
	}
	if len(second) != 1 || second[0].Stack != "" {
		t.Errorf("seen again %+v, want no stack", second)
	}
	for _, c := range traces {
		r := exceptions.NewReader()
		_, _ = r.Write([]byte(c.log))
		seen, _ := r.Take()
		if text := fmt.Sprint(seen); strings.Contains(text, "4111") || strings.Contains(text, "sku") {
			t.Errorf("%s: of the message was kept: %s", c.name, text)
		}
	}
}

func TestMemoryIsBoundedWhateverComes(t *testing.T) {
	block := func(s string) []byte { return bytes.Repeat([]byte(s), (1<<20)/len(s)) }
	random := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	n := 0
	for name, next := range map[string]func() []byte{
		"a line of 100 MB":           func() []byte { return block("panic: Exception at ") },
		"binary garbage":             func() []byte { return random },
		"frames without an end":      func() []byte { return block("\tat com.shop.A.b(A.java:1)\n") },
		"a trace without an end":     func() []byte { return block("Error: x\n    at f (/app/a.js:1:2)\n    at g (/app/a.js:1:2)\n") },
		"open objects":               func() []byte { return block(`{"error":`) },
		"open objects, line by line": func() []byte { return append(block(`{"error":{"stack":[`), '\n') },
		"nothing but line ends":      func() []byte { return block("\n") },
		"classes without end": func() []byte {
			var b bytes.Buffer
			for b.Len() < 1<<20 {
				n++
				fmt.Fprintf(&b, "E%cx%dError: x\n    at f%d (/app/a.js:1:2)\n", 'a'+n%26, n%9999, n%7777)
			}
			return b.Bytes()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := exceptions.NewReader()
			_, _ = r.Write(next())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			times := 15
			if name == "a line of 100 MB" {
				times = 100
			}
			for range times {
				_, _ = r.Write(next())
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
				t.Errorf("it keeps %d bytes more after %d MB", grown, times)
			}
			seen, cut := r.Take()
			if len(seen) > 500 {
				t.Errorf("%d classes", len(seen))
			}
			if name == "classes without end" && cut == 0 {
				t.Error("nothing is said of the classes that were too many")
			}
			runtime.KeepAlive(r)
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, c := range traces {
		f.Add([]byte(c.log), uint16(7))
	}
	f.Add([]byte("{\"error\":\"\\u12"), uint16(1))
	f.Fuzz(func(t *testing.T, log []byte, cut uint16) {
		whole, pieces := exceptions.NewReader(), exceptions.NewReader()
		_, _ = whole.Write(log)
		for rest := log; len(rest) > 0; {
			n := min(len(rest), 1+int(cut))
			_, _ = pieces.Write(rest[:n])
			rest = rest[n:]
		}
		a, _ := whole.Take()
		b, _ := pieces.Take()
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("as a whole:\n%v\nin pieces:\n%v", a, b)
		}
		for _, s := range a {
			if s.Class == "" || len(s.Class) > 200 || len(s.Stack) > 2000 || s.Count < 1 || strings.ContainsAny(s.Class+s.Stack, "\x00\x1b\r") || strings.Contains(s.Class, "\n") {
				t.Fatalf("seen %+v", s)
			}
		}
	})
}

// ordinary logs, of which one line in a thousand tells of an exception.
func ordinary(lines []string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 8<<20; i++ {
		fmt.Fprintf(&b, lines[i%len(lines)], i, i*7919%100000)
		if i%1000 == 999 {
			b.WriteString("java.io.IOException: x\n\tat com.shop.disk.Disk.write(Disk.java:9)\n\tat com.shop.Main.main(Main.java:5)\n")
		}
	}
	return b.Bytes()
}

// BenchmarkTraces reads logs of which every line is of an exception, or looks as
// if it were.
func BenchmarkTraces(b *testing.B) {
	logs := map[string]string{
		"errors without a stack": "2026-01-01T10:00:00.123Z ERROR [worker-3] shop.cart : could not reach the payment service: ConnectionError after 3 tries, giving up\n",
		"json errors":            `{"level":"error","ts":1767261600.123,"caller":"cart/cart.go:12","msg":"could not add","error":"connection refused","request":"8c1f","user":"somebody","took":"12ms"}` + "\n",
		"json with a stack":      `{"level":"error","time":"2026-01-01T10:00:00Z","msg":"unhandled","exception":{"type":"java.io.IOException","stacktrace":"java.io.IOException: x\n\tat com.shop.disk.Disk.write(Disk.java:9)\n\tat com.shop.disk.Disk.flush(Disk.java:19)\n\tat com.shop.Main.main(Main.java:5)"}}` + "\n",
	}
	all := ""
	for _, c := range traces {
		all += c.log + "\n2026-01-01 10:00:00 INFO all is well\n2026-01-01 10:00:01 INFO still\n"
	}
	logs["all runtimes"] = all
	logs["java"] = "java.lang.IllegalStateException: cart is closed\n" + strings.Repeat("\tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:897)\n\tat com.shop.cart.CartService.add(CartService.java:61)\n", 15) + "2026-01-01 10:00:00 INFO all is well\n"
	logs["python"] = "Traceback (most recent call last):\n" + strings.Repeat("  File \"/usr/lib/python3/site-packages/flask/app.py\", line 2073, in wsgi_app\n    response = self.full_dispatch_request()\n", 15) + "  File \"/app/cart.py\", line 3, in add\n    pay(card)\nValueError: no such card\n2026-01-01 10:00:00 INFO all is well\n"
	logs["go"] = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\n" + strings.Repeat("example.com/shop/cart.(*Cart).Add(0xc000012345, 0x5)\n\t/src/shop/cart/cart.go:12 +0x1d\n", 15) + "exit status 2\n2026-01-01 10:00:00 INFO all is well\n"
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		log := []byte(strings.Repeat(logs[name], 1+(4<<20)/len(logs[name])))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			r := exceptions.NewReader()
			before := used(b)
			for b.Loop() {
				_, _ = r.Write(log)
			}
			b.ReportMetric(float64(len(log))*float64(b.N)/1e6/(used(b)-before).Seconds(), "MB/cpu-s")
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for name, lines := range map[string][]string{
		"text": {
			"2026-01-01T10:00:00.123Z INFO  [http-nio-8080-exec-%d] com.shop.web.CartController : added item %d to the cart of a customer in 12 ms\n",
			"127.0.0.1 - - [01/Jan/2026:10:00:00 +0000] \"GET /cart/%d?item=%d HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"\n",
			"2026/01/01 10:00:00 request %d served in %d ms\n",
		},
		"json": {
			`{"level":"info","ts":1767261600.123,"caller":"cart/cart.go:12","msg":"added","request":%d,"item":%d,"took":"12ms","user":"somebody"}` + "\n",
			`{"time":"2026-01-01T10:00:00.123Z","level":"DEBUG","msg":"query","rows":%d,"offset":%d,"statement":"select * from cart where id = $1"}` + "\n",
		},
	} {
		log := ordinary(lines)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			r := exceptions.NewReader()
			before := used(b)
			for b.Loop() {
				_, _ = r.Write(log)
			}
			b.ReportMetric(float64(len(log))*float64(b.N)/1e6/(used(b)-before).Seconds(), "MB/cpu-s")
			if seen, _ := r.Take(); len(seen) != 1 {
				b.Fatalf("seen %v", seen)
			}
		})
	}
}

// What was read before changes nothing of what is read: every log has its
// classes after any other, and again and again.
func TestWhatWasReadBeforeChangesNothing(t *testing.T) {
	r := exceptions.NewReader()
	rng := rand.New(rand.NewPCG(7, 1))
	for i := range 2000 {
		c := traces[rng.IntN(len(traces))]
		_, _ = r.Write([]byte(c.log))
		r.Skip()
		if got := written(r); got != c.want {
			t.Fatalf("log %d, %s: classes are %q, want %q", i, c.name, got, c.want)
		}
	}
}
