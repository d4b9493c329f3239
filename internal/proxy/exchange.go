package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// exchange is one request on its way: which arm it belongs to, which instance
// it is tried at, and what became of it. It holds the whole policy of routing,
// retrying and counting, so that every data path behaves alike:
//
//	begin → (try at x.at → failed → again?)* → answered → finish
type exchange struct {
	p      *Proxy
	table  *table
	arm    Arm
	forced bool
	start  time.Time

	counted *instance // where it is counted: the first choice
	at      *instance // where it is tried now
	tries   int
	out     outcome

	// On the general path only:
	request  *http.Request // as it came
	writer   http.ResponseWriter
	body     *countingBody // nil: none
	upgraded io.Closer     // the backend's side of an upgraded connection
}

// maxTries bounds how many instances see one request.
const maxTries = 3

// errNoBackend: the request's arm has no instances.
var errNoBackend = errors.New("no backend")

// begin chooses the arm and the first instance. force is the forced arm or
// empty, key the sticky key or empty.
func (x *exchange) begin(p *Proxy, t *table, now time.Time, force Arm, key string) error {
	*x = exchange{p: p, table: t, start: now, out: outcome{class: noError}}
	switch {
	case force != "":
		x.arm, x.forced = force, true
	case key != "" && p.sticky != nil:
		x.arm = p.sticky.arm(key, t.split.Weight, t.split.BaselineWeight)
	default:
		x.arm = t.sequence.next()
	}

	g := t.group(x.arm)
	x.at = g.pick(now, nil, x.arm == Stable || x.forced)
	if x.counted = x.at; x.counted == nil {
		// The canary's instances are all ejected. The request is theirs all the
		// same: its error must not vanish from the canary's figures.
		x.counted = g.pick(now, nil, true)
	}
	if x.counted == nil {
		return errNoBackend
	}
	x.total().start()
	x.meter().start()
	if x.at == nil {
		x.fail(classConnect)
		x.at = x.alternative(now)
		if x.at == nil {
			x.at = x.counted
		}
		x.out.fellBack = x.at != x.counted
	}
	x.tries = 1
	x.at.up.pending.Add(1)
	return nil
}

func (x *exchange) total() *meter {
	if x.forced {
		return &x.p.ledger.forced(x.arm).total
	}
	return &x.p.ledger.judged(x.arm).total
}

func (x *exchange) meter() *meter {
	if x.forced {
		return x.counted.forced
	}
	return x.counted.judged
}

// fail notes an error of the counted instance; the first one stays.
func (x *exchange) fail(c class) {
	if x.out.class == noError {
		x.out.class = c
	}
}

// failed notes that the try at x.at failed with class c. unsent: the backend has
// certainly seen nothing of the request. replayable: it is idempotent, without a
// body, and no byte of a response came; then a broken connection is worth another
// try (a timeout is not: the user has waited enough). It returns whether to try
// again, at x.at.
func (x *exchange) failed(c class, unsent, replayable bool) (again bool) {
	now := time.Now()
	if c == classConnect && x.at.up.refused(x.start, now) {
		x.p.cfg.Logger.Warn("instance ejected: it cannot be connected to", "instance", x.at.name, "url", x.at.up.url.String())
	}
	if x.at == x.counted {
		x.fail(c)
	}
	safe := unsent || replayable && c == classReset
	if !safe || x.forced {
		return false
	}
	var next *instance
	if x.tries < maxTries {
		next = x.alternative(now)
	}
	if next == nil {
		return c == classConnect && unsent && (x.arm == Stable || x.at != x.counted) && x.hold()
	}
	x.at.up.pending.Add(-1)
	x.at = next
	x.at.up.pending.Add(1)
	x.tries++
	x.out.fellBack = true
	return true
}

// alternative is where a request goes whose instance failed: to stable, as the
// table now has it, and not back to the same address at once.
func (x *exchange) alternative(now time.Time) *instance {
	t := x.p.table.Load()
	if in := t.stable.pick(now, x.at, true); in != nil {
		return in
	}
	if x.arm == Canary {
		return t.canary.pick(now, x.at, true)
	}
	return nil
}

// reroute moves a request that has been sent nowhere yet to stable when the
// arm's weight has fallen to 0 since it began (connecting may take a while), and says
// whether it did. The request is then stable's, as if it had come later.
func (x *exchange) reroute() bool {
	if x.arm == Stable || x.forced || x.at != x.counted {
		return false
	}
	t := x.p.table.Load()
	if t == x.table || x.arm == Canary && t.split.Weight > 0 || x.arm == Baseline && t.split.BaselineWeight > 0 {
		return false
	}
	in := t.stable.pick(time.Now(), nil, true)
	if in == nil {
		return false
	}
	x.total().inflight.Add(-1)
	x.meter().inflight.Add(-1)
	x.at.up.pending.Add(-1)
	x.table, x.arm, x.at, x.counted = t, Stable, in, in
	x.total().start()
	x.meter().start()
	x.at.up.pending.Add(1)
	return true
}

// answered notes the response's status and, for a stream that lasts as long as
// it likes, that its latency ends here.
func (x *exchange) answered(status int, longLived bool) {
	x.at.up.connected()
	if x.at != x.counted {
		return
	}
	if status >= 500 {
		x.fail(class5xx)
	}
	if longLived {
		x.out.timed, x.out.latency = true, time.Since(x.start)
	}
}

// broke notes that the response broke off after its headers.
func (x *exchange) broke() {
	if x.at == x.counted {
		x.fail(classReset)
	}
}

// canceled notes that the client went away: whatever else went wrong afterwards
// went wrong because of that.
func (x *exchange) canceled() {
	x.out.canceled = true
	if !x.out.fellBack && x.out.class != class5xx {
		x.out.class = noError
	}
}

func (x *exchange) finish() {
	x.at.up.pending.Add(-1)
	o := x.out
	if !o.timed && !o.canceled && !o.fellBack {
		switch o.class {
		case noError, class5xx, classTimeout:
			o.timed, o.latency = true, time.Since(x.start)
		}
	}
	x.total().finish(o)
	x.meter().finish(o)
}

// armTried is the arm of the last try, for messages.
func (x *exchange) armTried() Arm {
	if x.at == x.counted {
		return x.arm
	}
	return Stable
}

// forcedArm is the arm a tester's header asks for, or empty.
func forcedArm(value string) Arm {
	switch {
	case strings.EqualFold(value, string(Stable)):
		return Stable
	case strings.EqualFold(value, string(Canary)):
		return Canary
	}
	return ""
}

// idempotent: doing it twice does what doing it once does (RFC 9110, 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// classify names what kind of failure err is, of a try that got no response.
func classify(err error) class {
	var netErr net.Error
	switch {
	case neverSent(err):
		return classConnect
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return classTimeout
	case strings.Contains(err.Error(), "malformed"), errors.Is(err, errMalformed):
		return classProtocol
	}
	return classReset
}

// errMalformed marks a response that is not HTTP as it should be.
var errMalformed = errors.New("malformed response")

// failure is what a client is told when nothing could answer its request.
func failure(arm Arm, err error) (status int, text string) {
	switch {
	case errors.Is(err, errNoBackend):
		return http.StatusServiceUnavailable, "503: no " + string(arm) + " instance is configured\n"
	case classify(err) == classConnect:
		return http.StatusBadGateway, "502: no " + string(arm) + " instance can be connected to\n"
	case classify(err) == classTimeout:
		return http.StatusGatewayTimeout, "504: the " + string(arm) + " instance did not answer in time\n"
	case classify(err) == classProtocol:
		return http.StatusBadGateway, "502: the " + string(arm) + " instance did not answer in HTTP\n"
	}
	return http.StatusBadGateway, "502: the " + string(arm) + " instance broke the connection\n"
}
