package exceptions_test

import (
	"fmt"
	"strings"
	"testing"

	"serin.dev/serin/internal/exceptions"
)

// read shows a log to a reader and returns the classes: "A@b", "A@b x3",
// "!A@b" for a critical one.
func read(log string) string {
	r := exceptions.NewReader()
	_, _ = r.Write([]byte(log))
	return written(r)
}

func written(r *exceptions.Reader) string {
	seen, _ := r.Take()
	var out []string
	for _, s := range seen {
		text := s.Class
		if s.Count > 1 {
			text += fmt.Sprintf(" x%d", s.Count)
		}
		if s.Critical {
			text = "!" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// traces are logs as the runtimes write them, and their classes.
var traces = []struct{ name, want, log string }{
	{"go, nil pointer", "!panic[nil pointer]@cart.Cart.Add", `panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x48f1c2]

goroutine 18 [running]:
example.com/shop/cart.(*Cart).Add(0x0, {0x4b2f01, 0x5})
	/src/shop/cart/cart.go:21 +0x12
main.handler({0x7f, 0x1}, 0xc0000a4000)
	/src/shop/main.go:40 +0x45
net/http.HandlerFunc.ServeHTTP(0xc000014120?, {0x6f2c20?, 0xc0000d40e0?}, 0x0?)
	/usr/local/go/src/net/http/server.go:2220 +0x29
created by net/http.(*Server).Serve in goroutine 1
	/usr/local/go/src/net/http/server.go:3360 +0x485
exit status 2
`},
	{"go, recovered by net/http", "!panic@main.pay", `2026/01/01 10:00:00 http: panic serving 127.0.0.1:53122: card 4111111111111111 refused
goroutine 22 [running]:
net/http.(*conn).serve.func1()
	/usr/local/go/src/net/http/server.go:1947 +0xbe
panic({0x6a1e80?, 0xc00011a0a0?})
	/usr/local/go/src/runtime/panic.go:787 +0x132
main.pay.func1(...)
	/src/shop/pay.go:9
net/http.HandlerFunc.ServeHTTP(0xc000014120?, {0x6f2c20?, 0xc0000d40e0?}, 0x0?)
	/usr/local/go/src/net/http/server.go:2220 +0x29
created by net/http.(*Server).Serve in goroutine 1
	/usr/local/go/src/net/http/server.go:3360 +0x485
`},
	{"go, out of memory", "!fatal error[out of memory]@main.grow", `fatal error: runtime: out of memory

runtime stack:
runtime.throw({0x4b9a1d?, 0x7ffd5?})
	/usr/local/go/src/runtime/panic.go:1067 +0x48 fp=0x7ffd sp=0x7ffd pc=0x43
runtime.sysMapOS(0xc000400000, 0x4000000)
	/usr/local/go/src/runtime/mem_linux.go:167 +0x11b fp=0x7ffd sp=0x7ffd pc=0x41

goroutine 1 gp=0xc0000061c0 m=0 mp=0x5a1f40 [running]:
runtime.systemstack_switch()
	/usr/local/go/src/runtime/asm_amd64.s:479 +0x8 fp=0xc sp=0xc pc=0x4
main.grow(...)
	/src/shop/main.go:7
main.main()
	/src/shop/main.go:12 +0x1d fp=0xc sp=0xc pc=0x4
`},
	{"go, a library's frame is not its own", "!panic@store.Save", `panic: boom [recovered, repanicked]

goroutine 7 [running]:
github.com/lib/pq.(*conn).Close(0xc0000)
	/root/go/pkg/mod/github.com/lib/pq@v1.10.9/conn.go:100 +0x1
example.com/shop/store.Save[...](0xc0000)
	/src/shop/store/save.go:3 +0x1
`},
	{"go, words are no panic", "", `2026/01/01 10:00:00 do not panic: all is well
the panic: button was pressed
no reason to panic
`},
	{"go, a dump that was asked for", "", `SIGQUIT: quit
PC=0x46a2e1 m=0 sigcode=0

goroutine 1 [IO wait]:
main.main()
	/src/shop/main.go:12 +0x1d
`},
	{"java with causes", "NullPointerException@cart.Cart.add", `2026-01-01 10:00:00.123 ERROR 1 --- [nio-8080-exec-1] o.a.c.c.C.[.[.[/].[dispatcherServlet]    : Servlet.service() for servlet [dispatcherServlet] threw exception

jakarta.servlet.ServletException: Request processing failed: user 4711
	at org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1022) ~[spring-webmvc-6.1.jar:6.1]
	at com.shop.web.CartController.post(CartController.java:33)
	at java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.lang.NullPointerException: Cannot invoke "String.length()" because "sku" is null
	at com.shop.cart.Cart.lambda$add$0(Cart.java:12)
	at java.base/java.util.ArrayList.forEach(ArrayList.java:1596)
	... 40 more
`},
	{"java, suppressed ones are not the cause", "IOException@disk.Disk.write", `Exception in thread "main" java.io.IOException: disk full
	at com.shop.disk.Disk.write(Disk.java:9)
	at com.shop.Main.main(Main.java:5)
	Suppressed: java.lang.IllegalStateException: close
		at com.shop.disk.Disk.close(Disk.java:20)
		... 1 more
	Caused by: nothing that counts
`},
	{"java, the cause is all library", "SQLTransientConnectionException@store.Orders.load", `java.lang.RuntimeException: cannot load
	at com.shop.store.Orders.load(Orders.java:17)
Caused by: java.sql.SQLTransientConnectionException: pool - Connection is not available
	at com.zaxxer.hikari.pool.HikariPool.createTimeoutException(HikariPool.java:696)
	... 9 common frames omitted
`},
	{"java, out of memory", "!OutOfMemoryError@shop.Cache.put", `Exception in thread "worker-3" java.lang.OutOfMemoryError: Java heap space
	at java.base/java.util.Arrays.copyOf(Arrays.java:3537)
	at com.shop.Cache.put(Cache.java:8)
`},
	{"java, a thread dump is none", "", `"main" #1 prio=5 os_prio=0 cpu=50ms elapsed=1.00s tid=0x00007f nid=0x1 runnable
   java.lang.Thread.State: RUNNABLE
	at com.shop.Main.main(Main.java:5)
`},
	{"kotlin coroutine", "IllegalStateException@CartKt.main.invokeSuspend", `Exception in thread "main" java.lang.IllegalStateException: x
	at com.shop.CartKt$main$1.invokeSuspend(Cart.kt:7)
	at kotlin.coroutines.jvm.internal.BaseContinuationImpl.resumeWith(ContinuationImpl.kt:33)
`},
	{"python", "TimeoutError@cart.add", `ERROR:shop:request failed
Traceback (most recent call last):
  File "/usr/lib/python3.12/site-packages/flask/app.py", line 880, in full_dispatch_request
    rv = self.dispatch_request()
         ^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/shop/cart.py", line 12, in add
    pay(card="4111111111111111")
  File "/usr/lib/python3.12/socket.py", line 720, in readinto
    return self._sock.recv_into(b)
TimeoutError: timed out for card 4111111111111111
`},
	{"python, the direct cause counts", "KeyError@cart.price", `Traceback (most recent call last):
  File "/app/cart.py", line 3, in price
    return prices["a"]
           ~~~~~~^^^^^
KeyError: 'a'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/main.py", line 9, in <module>
    price()
shop.errors.CartError: no price
`},
	{"python, the later one counts when another came while handling", "CartError@main.serve", `Traceback (most recent call last):
  File "/app/cart.py", line 3, in price
    return prices["a"]
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/main.py", line 9, in serve
    price()
shop.errors.CartError: no price
next line
`},
	{"python, exception group", "ExceptionGroup@main.serve", `  + Exception Group Traceback (most recent call last):
  |   File "/app/main.py", line 9, in serve
  |     async with asyncio.TaskGroup() as tg:
  |                ^^^^^^^^^^^^^^^^^^^
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/cart.py", line 3, in price
    |     raise ValueError("x")
    | ValueError: x
    +------------------------------------
`},
	{"python, two after each other", "A@m.f, B@m.g", "Traceback (most recent call last):\n  File \"m.py\", line 1, in f\nA: x\nTraceback (most recent call last):\n  File \"m.py\", line 1, in g\nB\n"},
	{"node", "TypeError@Cart.add", `/app/cart.js:12
    throw new TypeError("x")
    ^

TypeError: Cannot read properties of undefined (reading 'secret-4111')
    at Array.map (<anonymous>)
    at Cart.add (/app/cart.js:12:5)
    at async /app/node_modules/express/lib/router.js:3:1
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)

Node.js v20.11.0
`},
	{"node, one after the other", "A1Error@a.f, B2Error@a.g x2", "A1Error: x\n    at f (/a.js:1:2)\nB2Error: x\n    at g (/a.js:1:2)\nB2Error: y\n    at g (/a.js:1:2)\n"},
	{"ruby, one after the other", "A@a.f x2", "/a.rb:1:in 'f': x (A)\n\tfrom /a.rb:9:in 'm'\n/a.rb:1:in 'f': x (A)\n\tfrom /a.rb:9:in 'm'\n"},
	{"node with a cause", "TimeoutError@db.query", `Error: cannot add
    at add (file:///app/src/cart.mjs:12:5)
    at node:internal/main/run_main_module:28:49 {
  [cause]: TimeoutError: slow
      at query (/app/src/db.ts:3:9)
      at async Promise.all (index 0) {
    code: 'ETIMEDOUT'
  }
}
`},
	{"node, unhandled rejection", "UnhandledPromiseRejection", `node:internal/process/promises:391
      triggerUncaughtException(err, true /* fromPromise */);
      ^

[UnhandledPromiseRejection: This error originated either by throwing inside of an async function without a catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the reason "boom".] {
  code: 'ERR_UNHANDLED_REJECTION'
}
`},
	{"node, with a code and anonymous", "TypeError@index", `TypeError [ERR_INVALID_URL]: Invalid URL
    at new URL (node:internal/url:816:29)
    at Object.<anonymous> (/index.js:1:1)
`},
	{"node, no memory", "!OutOfMemory", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n 1: 0xb8ced1 node::Abort() [node]\n"},
	{"node, a warning is none", "", `(node:12) DeprecationWarning: old
    at f (/app/a.js:1:2)
`},
	{".net", "NullReferenceException@Shop.Cart.Add", `Unhandled exception. System.InvalidOperationException: cannot add
 ---> System.NullReferenceException: Object reference not set to an instance of an object.
   at System.Linq.Enumerable.First[TSource](IEnumerable` + "`1" + ` source)
   at Shop.Cart.<Add>d__3.MoveNext() in /src/Cart.cs:line 12
--- End of stack trace from previous location ---
   --- End of inner exception stack trace ---
   at Shop.Web.CartController.Post(String sku) in /src/CartController.cs:line 9
   at Microsoft.AspNetCore.Mvc.Infrastructure.ActionMethodExecutor.Execute(ActionContext actionContext)
`},
	{".net, a lambda", "ArgumentException@Shop.Cart.Add", `fail: Microsoft.AspNetCore.Server.Kestrel[13]
      Connection id "0HN", Request id "0HN:1": An unhandled exception was thrown by the application.
      System.ArgumentException: no such thing
         at Shop.Cart.<>c__DisplayClass1_0.<Add>b__0(Item i) in C:\src\Cart.cs:line 4
         at System.Linq.Enumerable.Any[T](IEnumerable` + "`1" + ` s)
`},
	{"ruby", "CartError@cart.add", `/app/lib/cart.rb:12:in 'Shop::Cart#add': no such thing: 4111 (Shop::CartError)
	from /app/lib/web.rb:3:in 'block in Shop::Web#post'
	from /usr/lib/ruby/3.4.0/webrick.rb:5:in 'service'
`},
	{"rails", "TypeError@cart.add", "[2f1c] TypeError (nil can't be coerced into Integer):\n[2f1c]   \n[2f1c] app/models/cart.rb:12:in `add'\n"},
	{"ruby in a gem", "ConnectionBad@orders.load", "/usr/lib/ruby/gems/3.3.0/gems/pg-1.5/lib/pg/connection.rb:9:in `connect': refused (PG::ConnectionBad)\n\tfrom /app/orders.rb:7:in `load'\n"},
	{"php", "TypeError@Cart.add", `PHP Fatal error:  Uncaught TypeError: Shop\Cart::add(): Argument #1 must be of type int, string given in /app/src/Cart.php:12
Stack trace:
#0 /app/public/index.php(7): Shop\Cart->add('4111111111111111')
#1 {main}
  thrown in /app/src/Cart.php on line 12
`},
	{"php, laravel", "CartException@Cart.add", `[2026-01-01 10:00:00] production.ERROR: no such thing {"userId":1,"exception":"[object] (App\\Exceptions\\CartException(code: 0): no such thing at /app/app/Cart.php:12)
[stacktrace]
#0 /app/app/Web.php(33): App\\Cart->add()
#1 /app/vendor/laravel/framework/src/Illuminate/Routing/Controller.php(54): App\\Web->post()
#2 {main}
"} 
`},
	{"php, no memory", "!OutOfMemory", "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes) in /app/a.php on line 3\n"},
	{"rust", "!panic@cart", "thread 'main' panicked at src/cart.rs:12:5:\nindex out of bounds: the len is 3 but the index is 9\n"},
	{"c++", "!bad_alloc", "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"},
	{"corrupt data is critical", "!StoreError@db.load", "Traceback (most recent call last):\n  File \"/app/db.py\", line 3, in load\nStoreError: page 7 is corrupted\n"},
	{"colours, CRLF and blanks", "TypeError@Cart.add", "\x1b[31mTypeError: x\x1b[0m\r\n    at \x1b[1mCart.add\x1b[0m (/app/cart.js:12:5)\r\n"},
	{"a time and a pod before every line", "TimeoutError@cart.add", `2026-01-01T10:00:00.123456789Z stderr F Traceback (most recent call last):
2026-01-01T10:00:00.123456999Z stderr F   File "/app/shop/cart.py", line 12, in add
2026-01-01T10:00:00.123457001Z stderr F     pay()
2026-01-01T10:00:00.123457044Z stderr F TimeoutError: timed out
`},
	{"a name before every line", "IOException@disk.Disk.write", "shop-1  | java.io.IOException: disk full\nshop-1  | \tat com.shop.disk.Disk.write(Disk.java:9)\n"},
	{"other lines between", "IOException@disk.Disk.write", "java.io.IOException: disk full\n\tat java.base/java.io.File.x(File.java:1)\n2026-01-01 INFO GET / 200\n\tat com.shop.disk.Disk.write(Disk.java:9)\n"},
	{"zap", "error@cart.Cart.add", `{"level":"error","ts":1767261600.1,"caller":"cart/cart.go:12","msg":"add failed","error":"sku 4711 unknown","stacktrace":"example.com/shop/cart.(*Cart).add\n\t/src/cart/cart.go:12\nnet/http.HandlerFunc.ServeHTTP\n\t/usr/local/go/src/net/http/server.go:2220"}
`},
	{"zerolog with pkgerrors", "error@cart.add", `{"level":"error","stack":[{"func":"add","line":"12","source":"cart.go"},{"func":"main","line":"4","source":"main.go"}],"error":"sku unknown","message":"failed"}
`},
	{"slog with source", "error@cart.Cart.add", `{"time":"2026-01-01T10:00:00Z","level":"ERROR","source":{"function":"example.com/shop/cart.(*Cart).add","file":"/src/cart.go","line":12},"msg":"failed","err":"sku unknown"}
`},
	{"logrus with caller", "error@main.add", `{"error":"sku unknown","file":"/src/main.go:12","func":"main.add","level":"error","msg":"failed","time":"2026-01-01T10:00:00Z"}
`},
	{"an error without a place is no class", "", `{"level":"error","msg":"failed","error":"sku 4711 unknown"}
`},
	{"logstash", "NullPointerException@cart.Cart.add", `{"@timestamp":"2026-01-01T10:00:00Z","level":"ERROR","logger_name":"com.shop.Web","message":"failed","stack_trace":"java.lang.NullPointerException: x\n\tat com.shop.cart.Cart.add(Cart.java:12)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)\n"}
`},
	{"ecs", "TimeoutException@cart.Cart.add", `{"@timestamp":"2026-01-01T10:00:00Z","log.level":"ERROR","error":{"type":"java.util.concurrent.TimeoutException","message":"x","stack_trace":"java.util.concurrent.TimeoutException: x\n\tat com.shop.cart.Cart.add(Cart.java:12)"}}
`},
	{"otel", "ValueError@cart.add", `{"severityText":"ERROR","body":"x","attributes":{"exception.type":"ValueError","exception.message":"4111","exception.stacktrace":"Traceback (most recent call last):\n  File \"/app/cart.py\", line 3, in add\n    x\nValueError: 4111\n"}}
`},
	{"log4j2", "IOException", `{"thread":"main","level":"ERROR","thrown":{"commonElementCount":0,"localizedMessage":"x","name":"java.io.IOException"}}
`},
	{"pino", "TypeError@Cart.add", `{"level":50,"time":1767261600000,"pid":1,"err":{"type":"TypeError","message":"x","stack":"TypeError: x\n    at Cart.add (/app/cart.js:12:5)\n    at node:internal/main:1:2"},"msg":"failed"}
`},
	{"bunyan", "CartError@Cart.add", `{"name":"shop","hostname":"a","pid":1,"level":50,"err":{"message":"x","name":"CartError","stack":"CartError: x\n    at Cart.add (/app/cart.js:12:5)"},"msg":"x","v":0}
`},
	{"winston, a stack as a list", "TypeError@Cart.add", `{"level":"error","errorType":"TypeError","errorMessage":"x","stack":["TypeError: x","    at Cart.add (/var/task/cart.js:12:5)"]}
`},
	{"python-json-logger", "TimeoutError@cart.add", `{"levelname":"ERROR","message":"failed","exc_info":"Traceback (most recent call last):\n  File \"/app/cart.py\", line 3, in add\n    x\nTimeoutError: 4111"}
`},
	{"serilog compact", "InvalidOperationException@Shop.Cart.Add", `{"@t":"2026-01-01T10:00:00Z","@l":"Error","@mt":"failed","@x":"System.InvalidOperationException: x\r\n   at Shop.Cart.Add(String sku) in /src/Cart.cs:line 12"}
`},
	{"serilog", "InvalidOperationException@Shop.Cart.Add", `{"Timestamp":"2026-01-01T10:00:00Z","Level":"Error","MessageTemplate":"failed","Exception":"System.InvalidOperationException: x\n   at Shop.Cart.Add(String sku) in /src/Cart.cs:line 12"}
`},
	{"google cloud", "ValueError@cart.add", `{"severity":"ERROR","message":"failed\nTraceback (most recent call last):\n  File \"/app/cart.py\", line 3, in add\n    x\nValueError: 4111","@type":"type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"}
`},
	{"a structured go panic", "!panic@main.pay", `{"level":"error","msg":"recovered","panic":"x","stack":"goroutine 22 [running]:\nruntime/debug.Stack()\n\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e\nmain.serve.func1()\n\t/src/main.go:5 +0x1\npanic({0x6a, 0xc0})\n\t/usr/local/go/src/runtime/panic.go:787 +0x132\nmain.pay(...)\n\t/src/pay.go:9"}
`},
	{"quiet levels are none", "", `{"level":"info","error.type":"TimeoutError","msg":"retried"}
`},
	{"a status code is no type", "", `{"level":"error","error.type":"500","msg":"failed"}
`},
	{"a structured line between a trace's", "IOException@disk.Disk.write, TimeoutError@Cart.get", `java.io.IOException: disk full
{"level":"error","error.type":"TimeoutError","logger":"shop.Cart.get"}
	at com.shop.disk.Disk.write(Disk.java:9)
`},
	{"lines that only sound like it", "", `2026-01-01 10:00:00 ERROR could not reach upstream
2026-01-01 10:00:00 WARN no exception was thrown at all
GET /errors?at=12 500
look at this (really)
    at last it works
error: 3 files failed
`},
}

func TestTracesOfEveryRuntimeHaveTheirClass(t *testing.T) {
	for _, c := range traces {
		t.Run(c.name, func(t *testing.T) {
			if got := read(c.log); got != c.want {
				t.Errorf("classes are %q, want %q", got, c.want)
			}
		})
	}
}
