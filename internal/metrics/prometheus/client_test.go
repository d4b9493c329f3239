package prometheus

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// faulty answers as a Prometheus with a fault that a real one cannot be told to
// have.
func faulty(t *testing.T, answer http.HandlerFunc) Config {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return Config{URL: credential.Value{Text: server.URL}, Timeout: rollout.Duration(time.Minute), Queries: Queries{Requests: `http_requests_total{arm="$(arm)"}`}}
}

func collect(t *testing.T, cfg Config) error {
	t.Helper()
	source, err := New(cfg, Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	_, err = source.Collect(t.Context(), time.Now(), time.Now())
	return err
}

func matrixOf(series int) string {
	all := make([]string, series)
	for i := range all {
		all[i] = fmt.Sprintf(`{"metric":{"__name__":"m","n":"%d"},"values":[[1,"1"]]}`, i)
	}
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(all, ",") + `]}}`
}

const noSeries = `{"status":"success","data":{"resultType":"vector","result":[]}}`

func TestAnAnswerThatCannotBeUsedIsAnErrorThatNamesTheQuery(t *testing.T) {
	for _, c := range []struct {
		name, want string
		answer     func(w http.ResponseWriter, r *http.Request)
	}{
		{"too many series", "the answer has 10001 series, more than 10000", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, matrixOf(maxSeries+1)) }},
		{"too many bytes", "the answer has more than 16 MiB", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBody+1)) }},
		{"no end", "no answer within the timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"partial", "not complete: store is away", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(matrixOf(1), `"success"`, `"success","warnings":["store is away"]`, 1))
		}},
		{"a page", "invalid character", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }},
		{"another kind", "is a scalar, not samples", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
		}},
		{"a refusal", "parse error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"parse error"}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := faulty(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.FormValue("query"), "max by") && c.name != "no end" {
					fmt.Fprint(w, noSeries)
					return
				}
				c.answer(w, r)
			})
			if c.name == "no end" {
				cfg.Timeout = rollout.Duration(300 * time.Millisecond)
			}
			err := collect(t, cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "queries.requests") {
				t.Errorf("%v, want something about %q", err, c.want)
			}
		})
	}
}

func TestTheTokenIsReadForEveryTickAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var sent []string
	cfg := faulty(t, func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization")+" "+r.Header.Get("X-Scope-OrgID"))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"status":"error","errorType":"auth","error":"`+r.Header.Get("Authorization")+` is not known"}`)
	})
	cfg.Token = credential.Ref{File: file}
	cfg.Headers = map[string]credential.Value{"X-Scope-OrgID": {Text: "shop"}}
	source, err := New(cfg, Env{})
	if err != nil {
		t.Fatal(err)
	}
	for n, token := range []string{"first-token\n", "second-token"} {
		write(token)
		_, err := source.Collect(context.Background(), time.Now(), time.Now())
		token = strings.TrimSpace(token)
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("the error is %v", err)
		}
		if len(sent) <= n || sent[len(sent)-1] != "Bearer "+token+" shop" {
			t.Errorf("sent %q, want the token %s", sent, token)
		}
	}
	write("two\nlines")
	if _, err := source.Collect(context.Background(), time.Now(), time.Now()); err == nil || !strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "lines\n") {
		t.Errorf("a token of two lines: %v", err)
	}
}

func TestAFileThatIsWrongIsToldWhereAndWhy(t *testing.T) {
	url := credential.Value{Text: "http://127.0.0.1:9090"}
	for _, c := range []struct {
		field, message string
		config         Config
	}{
		{"preset", "is missing", Config{URL: url}},
		{"preset", "is not known", Config{URL: url, Preset: "linkerd"}},
		{"url", "metadata", Config{URL: credential.Value{Text: "http://169.254.169.254"}, Preset: "istio"}},
		{"queries.requests", "$(pod) is not known", Config{URL: url, Queries: Queries{Requests: `a{b="$(pod)"}`}}},
		{"queries.errors", "computes increments itself", Config{URL: url, Preset: "istio", Queries: Queries{Errors: `rate(a[1m])`}}},
		{"queries.latency.histogram", "one series of a histogram", Config{URL: url, Queries: Queries{Latency: Latency{Histogram: "a_bucket"}}}},
		{"queries.business.orders", "neither", Config{URL: url, Preset: "istio", Queries: Queries{Business: map[string]Business{"orders": {}}}}},
		{"queries.business.orders", "lacks one", Config{URL: url, Preset: "istio", Queries: Queries{Business: map[string]Business{"orders": {Trials: "a"}}}}},
		{"queries.business.orders.sum", "name of a metric", Config{URL: url, Preset: "istio", Queries: Queries{Business: map[string]Business{"orders": {Count: "a", Sum: "{}", SumSquares: "b"}}}}},
		{"token", "headers.authorization", Config{URL: url, Preset: "istio", Token: credential.Ref{Env: "T"}, Headers: map[string]credential.Value{"authorization": {Ref: credential.Ref{Env: "T"}}}}},
		{"instanceLabel", "label", Config{URL: url, Preset: "istio", InstanceLabel: "a-b"}},
	} {
		found := c.config.Validate()
		ok := false
		for _, p := range found {
			ok = ok || p.Field == c.field && strings.Contains(p.Message, c.message) && p.Mend != ""
		}
		if !ok {
			t.Errorf("%s, %q: found %+v", c.field, c.message, found)
		}
	}
	if found := (Config{URL: url, Preset: "istio"}).Validate(); len(found) > 0 {
		t.Errorf("a good file: %+v", found)
	}
}

func TestAVariableThatThisHomeDoesNotKnowIsRefused(t *testing.T) {
	_, err := New(Config{URL: credential.Value{Text: "http://127.0.0.1:9090"}, Preset: "traefik"}, Env{Rollout: "shop"})
	if err == nil || !strings.Contains(err.Error(), "requests of the preset traefik uses $(namespace)") {
		t.Errorf("%v", err)
	}
}
