package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

func TestAReleaseIsARunInTheNameOfTheUserAtTheSocket(t *testing.T) {
	p := newProgram(t)
	c, _ := listen(t, p)
	r := release(t, c)
	if r.Actor != server.CurrentUser() || r.Rollout != "shop" || r.CanaryVersion != "v2" || r.Number != 1 || r.Standing != server.Running {
		t.Errorf("released %+v by %s", r, server.CurrentUser())
	}
	runs, err := c.Runs(t.Context(), "shop", 10)
	if err != nil || len(runs) != 1 || runs[0].ID != r.ID {
		t.Errorf("runs %+v, %v", runs, err)
	}
	known, err := c.Rollout(t.Context(), "shop")
	if err != nil || known.Run != r.ID {
		t.Errorf("rollout %+v, %v", known, err)
	}
	stored, err := p.store.Load(t.Context(), r.ID)
	if err != nil || string(stored.Candidate) != `["./shop","-v2"]` {
		t.Errorf("the command arrived as %s, %v", stored.Candidate, err)
	}
}

func TestWhatCannotBeReleasedIsRefusedWithItsCode(t *testing.T) {
	c, _ := listen(t, newProgram(t))
	release(t, c)
	for _, refused := range []struct {
		rollout, version string
		want             server.Code
	}{
		{"shop", "v3", server.CodeActive},
		{"shop", "v1", server.CodeNothingToDo},
		{"shp", "v2", server.CodeUnknownRollout},
		{"shop", "", server.CodeInvalid},
		{"../shop", "v2", server.CodeUnknownRollout},
	} {
		_, err := c.Release(t.Context(), refused.rollout, server.ReleaseRequest{Version: refused.version})
		if got := code(t, err); got != refused.want {
			t.Errorf("release %q of %q: %s, want %s", refused.version, refused.rollout, got, refused.want)
		}
	}
}

func TestAnIntentIsAnsweredByTheRunItself(t *testing.T) {
	p := newProgram(t)
	c, _ := listen(t, p)
	r := release(t, c)
	accepted, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Pause, Reason: "lunch"})
	if err != nil || !accepted.Answered || !accepted.Accepted {
		t.Errorf("pause: %+v, %v", accepted, err)
	}
	paused, err := c.Run(t.Context(), r.ID)
	if err != nil || paused.State.Paused == nil || paused.State.Paused.By != server.CurrentUser() || paused.State.Paused.Reason != "lunch" || paused.Standing != server.Waiting {
		t.Errorf("paused: %+v, %v", paused.State.Paused, err)
	}
	if _, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Resume}); err != nil {
		t.Error(err)
	}
	refused, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Resume})
	if err != nil || !refused.Answered || refused.Accepted || refused.Message == "" {
		t.Errorf("a second resume: %+v, %v", refused, err)
	}
	if _, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: "explode"}); code(t, err) != server.CodeInvalid {
		t.Errorf("an unknown intent: %v", err)
	}
	if _, err := c.Ask(t.Context(), "other", server.IntentRequest{Intent: rollout.Pause}); code(t, err) != server.CodeNotFound {
		t.Errorf("an unknown run: %v", err)
	}
	p.end(r.ID, engine.RolledBack)
	if _, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Promote}); code(t, err) != server.CodeEnded {
		t.Errorf("an ended run: %v", err)
	}
}

func TestAnIntentThatNobodyLooksAtIsKeptAndSaidToBe(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.deaf = true
	c, _ := listen(t, p)
	r := release(t, c)
	said, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Rollback})
	if err != nil || said.Answered || said.Accepted || said.ID == "" {
		t.Errorf("%+v, %v; want it unanswered", said, err)
	}
	open, err := p.store.Intents(t.Context(), r.ID)
	if err != nil || len(open) != 1 || open[0].ID != said.ID || open[0].Actor != server.CurrentUser() {
		t.Errorf("kept %+v, %v", open, err)
	}
}

func TestNewsArriveWhenSomethingHappens(t *testing.T) {
	p := newProgram(t)
	c, _ := listen(t, p)
	r := release(t, c)
	first, err := c.Events(t.Context(), r.ID, 0, 0)
	if err != nil || len(first.Lines) != 1 || first.Next != 1 || first.Live == nil {
		t.Fatalf("%+v, %v; want the header", first, err)
	}
	if live, err := first.Live.Live(); err != nil || live.Decision.Weight != 5 || live.Input.Weight == nil || *live.Input.Weight != 5 {
		t.Errorf("live %+v, %v", live, err)
	}

	later := make(chan server.Events, 1)
	go func() {
		e, err := c.Events(context.WithoutCancel(t.Context()), r.ID, first.Next, 30*time.Second)
		if err != nil {
			t.Error(err)
		}
		later <- e
	}()
	select {
	case e := <-later:
		t.Fatalf("news before anything happened: %+v", e)
	case <-time.After(300 * time.Millisecond):
	}
	if err := p.store.Append(t.Context(), r.ID, []record.Line{line(t, record.Effect{Effect: "weight"})}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-later:
		if len(e.Lines) != 1 || !strings.Contains(string(e.Lines[0]), `"effect":"weight"`) || e.Next != 2 {
			t.Errorf("news %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no news of a line")
	}

	p.end(r.ID, engine.Promoted)
	over, err := c.Events(t.Context(), r.ID, 2, 30*time.Second)
	if err != nil || !over.Run.Ended() || over.Run.Standing != server.Promoted {
		t.Errorf("an ended run: %+v, %v", over.Run, err)
	}
}

func TestARecordIsStreamedWholeAndReplays(t *testing.T) {
	p := newProgram(t)
	c, _ := listen(t, p)
	r := release(t, c)
	want := line(t, record.Header{Record: record.Version, Plan: r.Plan.Plan})
	var all bytes.Buffer
	all.Write(append(want, '\n'))
	for n := range 1000 {
		l := line(t, record.Effect{Effect: "weight", Detail: strings.Repeat("x", n%50)})
		if err := p.store.Append(t.Context(), r.ID, []record.Line{l}); err != nil {
			t.Fatal(err)
		}
		all.Write(append(l, '\n'))
	}
	body, err := c.Record(t.Context(), r.ID)
	if got := text(t, body, err); got != all.String() {
		t.Errorf("%d bytes differ from the %d recorded", len(got), all.Len())
	}
}

func TestAReportIsThereOnceTheRunHasEnded(t *testing.T) {
	p := newProgram(t)
	c, _ := listen(t, p)
	r := release(t, c)
	if _, err := c.Report(t.Context(), r.ID, "md"); code(t, err) != server.CodeNotYet {
		t.Errorf("before the end: %v", err)
	}
	for name, body := range map[string]string{archive.MarkdownFile: "# promoted", archive.HTMLFile: "<h1>promoted</h1>", "logs/shop-v2-0.log": "hello\n"} {
		if _, err := p.archive.Put(t.Context(), "shop", r.ID, name, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	body, err := c.Report(t.Context(), r.ID, "md")
	if got := text(t, body, err); got != "# promoted" {
		t.Errorf("markdown %q", got)
	}
	body, err = c.Report(t.Context(), r.ID, "html")
	if got := text(t, body, err); got != "<h1>promoted</h1>" {
		t.Errorf("html %q", got)
	}
	if _, err := c.Report(t.Context(), r.ID, "pdf"); code(t, err) != server.CodeInvalid {
		t.Errorf("pdf: %v", err)
	}
	body, err = c.ArchivedLogs(t.Context(), r.ID)
	if got := text(t, body, err); got != "==> logs/shop-v2-0.log <==\nhello\n" {
		t.Errorf("logs %q", got)
	}
}

func TestLogsArriveWhileTheyAreFollowedAndEndWithTheReader(t *testing.T) {
	p := newProgram(t)
	p.logs = "hello"
	c, _ := listen(t, p)
	body, err := c.Logs(t.Context(), "shop", rollout.Canary, true)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("shop canary: hello\n"))
	if _, err := io.ReadFull(body, got); err != nil || string(got) != "shop canary: hello\n" {
		t.Errorf("%q, %v", got, err)
	}
	body.Close()
	select {
	case <-p.gone:
	case <-time.After(10 * time.Second):
		t.Error("the program went on following for nobody")
	}
}

func TestALogThatFailsHalfWayIsNotTakenForTheWhole(t *testing.T) {
	p := newProgram(t)
	p.logs, p.logsEnd = "hello", errors.New("the disk is gone")
	overSocket, _ := listen(t, p)
	inProcess := server.NewClient(server.InProcess(server.New(p, "test"), "somebody"))
	for name, c := range map[string]*server.Client{"socket": overSocket, "process": inProcess} {
		body, err := c.Logs(t.Context(), "shop", rollout.Stable, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(body); err == nil {
			t.Errorf("%s: read to its end without an error", name)
		}
		body.Close()
	}
}

func TestReadingInTheProcessGivesTheSameAnswers(t *testing.T) {
	p := newProgram(t)
	overSocket, socket := listen(t, p)
	release(t, overSocket)
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer h.CloseIdleConnections()
	in := &http.Client{Transport: server.InProcess(server.New(p, "test"), "somebody")}
	for _, path := range []string{"/v1/rollouts", "/v1/rollouts/shop", "/v1/rollouts/none", "/v1/runs", "/v1/runs?limit=0", "/v1/runs/shop-v2", "/v1/runs/shop-v2/record", "/v1/runs/shop-v2/report", "/v1/runs/shop-v2/events", "/nothing", "/openapi.json"} {
		a, typeA, statusA := fetch(t, h, path)
		b, typeB, statusB := fetch(t, in, path)
		if a != b || typeA != typeB || statusA != statusB {
			t.Errorf("%s: over the socket %d %s %q, in the process %d %s %q", path, statusA, typeA, a, statusB, typeB, b)
		}
		if statusA >= 400 && typeA != "application/problem+json" {
			t.Errorf("%s: an error of type %s", path, typeA)
		}
	}
}

func fetch(t *testing.T, c *http.Client, path string) (body, contentType string, status int) {
	t.Helper()
	answer, err := c.Get("http://serin" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(all), answer.Header.Get("Content-Type"), answer.StatusCode
}

func TestAProgramThatOnlyReadsSaysWhoCouldAct(t *testing.T) {
	p := newProgram(t)
	running, _ := listen(t, p)
	r := release(t, running)
	c := server.NewClient(server.InProcess(server.New(server.ReadOnly{Runs: p.store, Files: p.archive, State: "/var/lib/serin"}, "test"), "somebody"))
	all, err := c.Rollouts(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != "shop" || all[0].Run != r.ID || all[0].Serving != "v1" {
		t.Errorf("rollouts %+v, %v", all, err)
	}
	for name, act := range map[string]func() error{
		"release": func() error {
			_, err := c.Release(t.Context(), "shop", server.ReleaseRequest{Version: "v3"})
			return err
		},
		"rollback": func() error {
			_, err := c.Ask(t.Context(), r.ID, server.IntentRequest{Intent: rollout.Rollback})
			return err
		},
		"logs": func() error { _, err := c.Logs(t.Context(), "shop", rollout.Canary, false); return err },
	} {
		err := act()
		if code(t, err) != server.CodeNotRunning || !strings.Contains(err.Error(), "serin serve") || !strings.Contains(err.Error(), "/var/lib/serin") {
			t.Errorf("%s: %v, want who could act and where", name, err)
		}
	}
	if open, err := p.store.Intents(t.Context(), r.ID); err != nil || len(open) != 0 {
		t.Errorf("an intent was left that nobody will look at: %+v, %v", open, err)
	}
}

func TestNobodyActsWithoutAName(t *testing.T) {
	p := newProgram(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, p)
	answer, err := http.Post("http://"+l.Addr().String()+"/v1/rollouts/shop/runs", "application/json", strings.NewReader(`{"version":"v2"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var problem server.Problem
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil || answer.StatusCode != http.StatusForbidden || problem.Code != server.CodeForbidden {
		t.Errorf("%d %+v, %v", answer.StatusCode, problem, err)
	}
	if _, err := p.store.Active(t.Context(), "shop"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run was started: %v", err)
	}
}

func TestBodiesThatDoNotFitAreRefused(t *testing.T) {
	p := newProgram(t)
	_, socket := listen(t, p)
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer h.CloseIdleConnections()
	for name, body := range map[string]string{
		"huge":            `{"version":"` + strings.Repeat("v", 1<<20) + `"}`,
		"no JSON":         `version=v2`,
		"unknown field":   `{"version":"v2","actor":"root"}`,
		"wrong type":      `{"version":2}`,
		"nothing":         ``,
		"very long value": `{"version":"` + strings.Repeat("v", 300) + `"}`,
	} {
		answer, err := h.Post("http://serin/v1/rollouts/shop/runs", "application/json", strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var problem server.Problem
		err = json.NewDecoder(answer.Body).Decode(&problem)
		answer.Body.Close()
		if err != nil || problem.Code != server.CodeInvalid || answer.StatusCode < 400 || answer.StatusCode >= 500 {
			t.Errorf("%s: %d %+v, %v", name, answer.StatusCode, problem, err)
		}
	}
	if _, err := p.store.Active(t.Context(), "shop"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run was started: %v", err)
	}
}

func TestTheDocumentIsOpenAPI31AndListsWhatTheClientUses(t *testing.T) {
	in := &http.Client{Transport: server.InProcess(server.New(newProgram(t), "1.2.3"), "somebody")}
	body, _, status := fetch(t, in, "/openapi.json")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			Responses map[string]any `json:"responses"`
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Info.Version != "1.2.3" {
		t.Errorf("openapi %s, version %s", doc.OpenAPI, doc.Info.Version)
	}
	for path, method := range map[string]string{
		"/v1/rollouts": "get", "/v1/rollouts/{name}": "get", "/v1/rollouts/{name}/runs": "post", "/v1/rollouts/{name}/logs": "get",
		"/v1/runs": "get", "/v1/runs/{id}": "get", "/v1/runs/{id}/record": "get", "/v1/runs/{id}/report": "get",
		"/v1/runs/{id}/events": "get", "/v1/runs/{id}/intents": "post", "/v1/runs/{id}/logs": "get",
	} {
		if len(doc.Paths[path][method].Responses) < 2 {
			t.Errorf("%s %s is not described with its answer and its errors", method, path)
		}
	}
	if strings.Contains(body, "unpkg") || strings.Contains(body, "cdn") {
		t.Error("the document leads to somewhere else")
	}
}

func TestTheAPIStopsAlthoughSomebodyWaits(t *testing.T) {
	p := newProgram(t)
	socket := t.TempDir() + "/serin.sock"
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, l, p)
	c, err := server.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	r := release(t, c)
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Events(context.WithoutCancel(t.Context()), r.ID, 1, 30*time.Second)
		waiting <- err
	}()
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	select {
	case err := <-waiting:
		if err == nil {
			t.Error("the call that was waiting got an answer")
		}
	case <-time.After(10 * time.Second):
		t.Error("the call that was waiting still waits")
	}
	if _, err := server.Dial(t.Context(), socket); !errors.Is(err, server.ErrNobody) {
		t.Errorf("after the end: %v", err)
	}
}
