package shoutrrr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/notify/notifytest"
	"serin.dev/serin/internal/notify/shoutrrr"
	"serin.dev/serin/test/plane/ports"
)

func literal(t *testing.T, url string) *shoutrrr.Notifier {
	t.Helper()
	n, err := shoutrrr.New(shoutrrr.Config{URL: credential.Value{Text: url}}, shoutrrr.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// referred returns a notifier whose URL is in an environment variable.
func referred(t *testing.T, name, url string) *shoutrrr.Notifier {
	t.Helper()
	t.Setenv(name, url)
	n, err := shoutrrr.New(shoutrrr.Config{URL: credential.Value{Ref: credential.Ref{Env: name}}}, shoutrrr.Env{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func send(n notify.Notifier, m notify.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Send(ctx, m)
}

func generic(addr string) string { return "generic+http://" + addr + "/hook" }

func mail(addr string) string {
	return "smtp://" + addr + "/?from=serin@shop.test&to=oncall@shop.test"
}

func TestWebhookConformance(t *testing.T) {
	at := func(a answer) func(*testing.T) notify.Notifier {
		return func(t *testing.T) notify.Notifier { return literal(t, generic(newWebhook(t, a).addr)) }
	}
	notifytest.Run(t, notifytest.Harness{
		Accepting: func(t *testing.T) (notify.Notifier, func() []string) {
			hook := newWebhook(t, answering(http.StatusOK))
			return literal(t, generic(hook.addr)), hook.got
		},
		Refusing:    at(answering(http.StatusNotFound)),
		Overloaded:  at(answering(http.StatusServiceUnavailable)),
		Unreachable: func(t *testing.T) notify.Notifier { return literal(t, generic(ports.Keep(t))) },
		Hanging:     at(hanging),
		Leaky:       leaky,
	})
}

func TestMailConformance(t *testing.T) {
	at := func(replies map[string]string) func(*testing.T) notify.Notifier {
		return func(t *testing.T) notify.Notifier { return literal(t, mail(newMailServer(t, replies).addr)) }
	}
	notifytest.Run(t, notifytest.Harness{
		Accepting: func(t *testing.T) (notify.Notifier, func() []string) {
			s := newMailServer(t, nil)
			return literal(t, mail(s.addr)), s.got
		},
		Refusing:    at(map[string]string{"RCPT": "550 5.1.1 no such mailbox"}),
		Overloaded:  at(map[string]string{"RCPT": "451 4.3.0 try later"}),
		Unreachable: func(t *testing.T) notify.Notifier { return literal(t, mail(ports.Keep(t))) },
		Hanging:     at(map[string]string{"CONNECT": "hang"}),
		Leaky: func(t *testing.T, secret string) map[string]notify.Notifier {
			withLogin := func(name string, replies map[string]string) notify.Notifier {
				addr := newMailServer(t, replies).addr
				return referred(t, "MAIL_"+name, "smtp://serin:"+secret+"@"+addr+"/?from=serin@shop.test&to=oncall@shop.test")
			}
			return map[string]notify.Notifier{
				"login refused":     withLogin("A", map[string]string{"AUTH": "535 5.7.8 bad password " + secret}),
				"recipient refused": withLogin("B", map[string]string{"RCPT": "550 " + secret}),
				"hanging":           withLogin("C", map[string]string{"DATA": "hang"}),
				"nonsense":          withLogin("D", map[string]string{"CONNECT": "hello " + secret}),
			}
		},
	})
}

// leaky lists failures of services that can be pointed to this machine, and of
// URLs that are wrong.
func leaky(t *testing.T, secret string) map[string]notify.Notifier {
	echo, hang, none := newWebhook(t, echoing).addr, newWebhook(t, hanging).addr, ports.Keep(t)
	redirect := newWebhook(t, func(w http.ResponseWriter, r *http.Request, _ string, _ func()) {
		http.Redirect(w, r, "http://169.254.169.254/"+secret, http.StatusTemporaryRedirect)
	}).addr
	notifiers := map[string]notify.Notifier{}
	add := func(name, url string) {
		notifiers[name] = referred(t, "NOTIFY_"+strings.ToUpper(strings.ReplaceAll(name, " ", "_")), url)
	}
	for what, addr := range map[string]string{"refused": echo, "hanging": hang, "not there": none, "redirected": redirect} {
		add("generic "+what, "generic+http://"+addr+"/"+secret+"?@Authorization="+secret)
		add("ntfy "+what, "ntfy://serin:"+secret+"@"+addr+"/"+secret+"?scheme=http")
		add("gotify "+what, "gotify://"+addr+"/"+secret+"/As3cret.1234567?disabletls=yes")
		add("mattermost "+what, "mattermost://serin@"+addr+"/"+secret+"/town?disabletls=yes")
		add("rocketchat "+what, "rocketchat://serin@"+addr+"/"+secret+"/"+secret+"/town")
	}
	add("wrong slack", "slack://"+secret)
	add("wrong teams", "teams://"+secret+"@"+secret+"/"+secret)
	add("wrong discord", "discord://"+secret)
	add("wrong telegram", "telegram://"+secret+"@telegram?chats=")
	add("wrong pagerduty", "pagerduty://"+secret+"?nonsense="+secret)
	add("wrong pushover", "pushover://shoutrrr:"+secret+"@")
	add("unknown service", "carrierpigeon://"+secret)
	add("not a url", "%zz"+secret)
	add("metadata", "generic+http://169.254.169.254/"+secret)
	add("no host", "generic+http://nowhere.invalid/"+secret)
	return notifiers
}

func TestAMailHasASubjectAndTheText(t *testing.T) {
	s := newMailServer(t, nil)
	t.Setenv("MAIL_URL", "smtp://serin:pass@"+s.addr+"/?from=serin@shop.test&to=oncall@shop.test")
	n, err := shoutrrr.New(shoutrrr.Config{URL: credential.Value{Ref: credential.Ref{Env: "MAIL_URL"}}}, shoutrrr.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := send(n, notifytest.Message("m1")); err != nil {
		t.Fatal(err)
	}
	mails := s.got()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	for _, want := range []string{"Subject: shop: rolledBack\r\n", "oncall@shop.test", "serin@shop.test", "error rate 3.1 times stable's"} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("%q is missing in:\n%s", want, mails[0])
		}
	}
}

func TestAJSONWebhookGetsTitleAndMessage(t *testing.T) {
	var header http.Header
	var query string
	hook := newWebhook(t, func(_ http.ResponseWriter, r *http.Request, _ string, _ func()) {
		header, query = r.Header, r.URL.RawQuery
	})
	n := referred(t, "HOOK_URL", generic(hook.addr)+"?template=json&@XApiKey=abc123&$team=web&user=7")
	if err := send(n, notifytest.Message("m1")); err != nil {
		t.Fatal(err)
	}
	if header.Get("X-Api-Key") != "abc123" || header.Get("Content-Type") != "application/json" || query != "user=7" {
		t.Errorf("asked with %v and ?%s", header, query)
	}
	var got struct{ Title, Message, Team string }
	if err := json.Unmarshal([]byte(hook.got()[0]), &got); err != nil {
		t.Fatal(err)
	}
	m := notifytest.Message("m1")
	if got.Title != "shop: rolledBack" || got.Team != "web" || got.Message != m.Text+"\n"+m.Do+"\n"+m.Link {
		t.Errorf("got %+v", got)
	}
}

// Services that take no title refuse one; these are asked with real requests
// where they can be pointed to this machine.
func TestServicesOfOnesOwnAreTold(t *testing.T) {
	for name, tc := range map[string]struct{ url, body string }{
		"ntfy":       {"ntfy://serin:pass@ADDR/releases?scheme=http", `{"id":"x"}`},
		"gotify":     {"gotify://ADDR/Atoken.12345678?disabletls=yes", `{"id":1}`},
		"mattermost": {"mattermost://serin@ADDR/hooktoken/town?disabletls=yes", `ok`},
	} {
		t.Run(name, func(t *testing.T) {
			hook := newWebhook(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ func()) { _, _ = w.Write([]byte(tc.body)) })
			n := referred(t, "NOTIFY_OWN", strings.ReplaceAll(tc.url, "ADDR", hook.addr))
			if err := send(n, notifytest.Message("m1")); err != nil {
				t.Fatal(err)
			}
			if got := hook.got(); len(got) != 1 || !strings.Contains(got[0], "error rate 3.1 times stable") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestWhichAnswersAreForGood(t *testing.T) {
	for status, forGood := range map[int]bool{400: true, 401: true, 404: true, 410: true, 408: false, 429: false, 500: false, 503: false} {
		hook := newWebhook(t, answering(status))
		for name, url := range map[string]string{
			"generic":    generic(hook.addr),
			"ntfy":       "ntfy://" + hook.addr + "/releases?scheme=http",
			"gotify":     "gotify://" + hook.addr + "/Atoken.12345678?disabletls=yes",
			"mattermost": "mattermost://serin@" + hook.addr + "/hooktoken/town?disabletls=yes",
		} {
			err := send(referred(t, "NOTIFY_URL", url), notifytest.Message("m1"))
			if err == nil || errors.Is(err, notify.ErrRejected) != forGood {
				t.Errorf("%s, %d: %v, for good should be %v", name, status, err, forGood)
			}
		}
	}
}

func TestAMetadataAddressIsRefused(t *testing.T) {
	if err := send(referred(t, "NOTIFY_URL", "generic+http://169.254.169.254/x"), notifytest.Message("m1")); !errors.Is(err, notify.ErrRejected) {
		t.Errorf("named: %v", err)
	}
	redirect := newWebhook(t, func(w http.ResponseWriter, r *http.Request, _ string, _ func()) {
		http.Redirect(w, r, "http://169.254.169.254/x", http.StatusTemporaryRedirect)
	})
	for name, url := range map[string]string{
		"ntfy":       "ntfy://" + redirect.addr + "/releases?scheme=http",
		"gotify":     "gotify://" + redirect.addr + "/Atoken.12345678?disabletls=yes",
		"mattermost": "mattermost://serin@" + redirect.addr + "/hooktoken/town?disabletls=yes",
	} {
		err := send(referred(t, "NOTIFY_URL", url), notifytest.Message("m1"))
		if err == nil || !strings.Contains(err.Error(), "Serin never asks") {
			t.Errorf("%s, redirected: %v", name, err)
		}
	}
}

// E-mail is sent by a part of the library that cannot be stopped.
func TestDeliveriesThatHangAreBoundedInNumber(t *testing.T) {
	server := newMailServer(t, map[string]string{"EHLO": "hang"})
	n := literal(t, mail(server.addr))
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		if err := n.Send(ctx, notifytest.Message("m1")); err == nil {
			t.Error("it was delivered")
		}
		cancel()
	}
	if got := server.connections(); got > 4 {
		t.Errorf("%d deliveries are under way", got)
	}
}

func TestANotifierWorksAgainOnceWhatHungHasEnded(t *testing.T) {
	server := newMailServer(t, map[string]string{"EHLO": "hang"})
	n := literal(t, mail(server.addr))
	deadline := time.Now().Add(30 * time.Second)
	for server.connections() < 4 { // as many as may be under way; one that connects later would not hang
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries of 4 are under way", server.connections())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_ = n.Send(ctx, notifytest.Message("m1"))
		cancel()
	}
	server.recover()
	for send(n, notifytest.Message("m1")) != nil {
		if time.Now().After(deadline) {
			t.Fatal("no delivery although the server answers again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := server.got(); len(got) != 1 {
		t.Errorf("%d mails", len(got))
	}
}

// What the library asks through http.DefaultTransport is guarded by replacing
// that, as the program does; here for as long as the test.
func TestTheOtherServicesAreGuardedByTheDefaultTransport(t *testing.T) {
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	http.DefaultTransport = guarded.NewTransport(guarded.Options{})
	redirect := newWebhook(t, func(w http.ResponseWriter, r *http.Request, _ string, _ func()) {
		http.Redirect(w, r, "http://169.254.169.254/x", http.StatusTemporaryRedirect)
	})
	for name, url := range map[string]string{
		"signal": "signal://" + redirect.addr + "/+4912345678/+4987654321?disabletls=yes",
		"bark":   "bark://:devicekey@" + redirect.addr + "/?scheme=http",
	} {
		err := send(referred(t, "NOTIFY_URL", url), notifytest.Message("m1"))
		if err == nil || !strings.Contains(err.Error(), "Serin never asks") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheLoggerServiceWritesToTheProgramsLog(t *testing.T) {
	var out bytes.Buffer
	n, err := shoutrrr.New(shoutrrr.Config{URL: credential.Value{Text: "logger://"}}, shoutrrr.Env{Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := send(n, notifytest.Message("m1")); err != nil || !strings.Contains(out.String(), "error rate 3.1 times stable's") {
		t.Errorf("%v, logged %q", err, out.String())
	}
}

func TestNothingIsLoggedThatIsNotALoggersMessage(t *testing.T) {
	var out bytes.Buffer
	before, flags, slogBefore := log.Writer(), log.Flags(), slog.Default()
	t.Cleanup(func() {
		slog.SetDefault(slogBefore)
		log.SetOutput(before)
		log.SetFlags(flags)
	})
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	log.SetOutput(&out)
	stdout, stderr := os.Stdout, os.Stderr
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout, os.Stderr = write, write
	for _, n := range leaky(t, "canary-s3cret-value") {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		_ = n.Send(ctx, notifytest.Message("m1"))
		cancel()
	}
	os.Stdout, os.Stderr = stdout, stderr
	write.Close()
	var printed bytes.Buffer
	if _, err := printed.ReadFrom(read); err != nil {
		t.Fatal(err)
	}
	if text := out.String() + printed.String(); strings.Contains(text, "s3cret") {
		t.Errorf("logged: %s", text)
	}
}

func TestALiteralURLIsTakenOnlyWithoutACredential(t *testing.T) {
	for url, ok := range map[string]bool{
		"logger://":                              true,
		"smtp://mail.shop.test:25/?from=a&to=b":  true,
		"generic+http://127.0.0.1:9000/hook":     true,
		"generic+http://localhost:9000/hook":     true,
		"generic://[::1]:9000/hook":              true,
		"generic+https://hooks.example.com/x":    false,
		"generic+http://me:pw@127.0.0.1:9000/":   false,
		"generic+http://127.0.0.1/?@X-Api-Key=a": false,
		"smtp://me:pw@mail.shop.test/?from=a":    false,
		"slack://hook:T0-B0-x@webhook":           false,
		"discord://token@id":                     false,
		"carrierpigeon://x":                      false,
		"no url at all":                          false,
		"":                                       false,
	} {
		found := shoutrrr.Config{URL: credential.Value{Text: url}}.Validate()
		if (len(found) == 0) != ok {
			t.Errorf("%s: found %+v, should be taken: %v", url, found, ok)
			continue
		}
		for _, p := range found {
			if p.Field != "url" || p.Message == "" || p.Mend == "" || strings.Contains(p.Message+p.Mend, "pw") {
				t.Errorf("%s: found %+v", url, p)
			}
		}
	}
	found := shoutrrr.Config{URL: credential.Value{Text: "slack://hook:T0-B0-x@webhook"}}.Validate()
	if len(found) != 1 || !strings.Contains(found[0].Mend, "url: {env: SLACK_URL}") {
		t.Errorf("found %+v", found)
	}
}

// The forms are those of the guide's table.
func TestAURLOfTheWrongFormIsFoundBeforeTheRun(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for url, ok := range map[string]bool{
		"slack://hook:T00000000-B00000000-abcdefghijklmnopqrstuvwx@webhook": true,
		"slack://hook:T0000s3cret@webhook":                                  false,
		"discord://tokentoken@1234567890":                                   true,
		"discord://s3cret":                                                  false,
		"smtp://me:s3cret@mail.shop.test:587/?from=a@b.test&to=c@b.test":    true,
		"smtp://me:s3cret@mail.shop.test:587/?from=a@b.test":                false,
		"pagerduty:///" + id:                                                true,
		"pagerduty://" + id:                                                 false,
		"teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=contoso.webhook.office.com": true,
		"generic+https://shop.test/hook?template=json": true,
		"mattermost://serin@chat.shop.test/token/town": true,
		"carrierpigeon://s3cret":                       false,
	} {
		err := referred(t, "NOTIFY_URL", url).Check()
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, should be found good: %v", url, err, ok)
		}
	}
	n, err := shoutrrr.New(shoutrrr.Config{URL: credential.Value{Ref: credential.Ref{Env: "NOT_SET_AT_ALL"}}}, shoutrrr.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Check(); err == nil || !strings.Contains(err.Error(), "NOT_SET_AT_ALL") {
		t.Errorf("a missing variable: %v", err)
	}
}
