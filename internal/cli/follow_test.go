package cli

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/server"
)

// An API server that does not answer for a moment does not end the wait for a run
// that goes on without it; one that stays away does.
func TestWhoFollowsARunOutlivesAnAbsence(t *testing.T) {
	for name, c := range map[string]struct {
		away time.Duration
		ok   bool
	}{"a moment": {20 * time.Second, true}, "for good": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := time.Now().Add(c.away)
				api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					if time.Now().Before(back) {
						w.WriteHeader(http.StatusServiceUnavailable)
						fmt.Fprintf(w, `{"code": %q, "detail": "the API server does not answer", "status": 503}`, server.CodeUnavailable)
						return
					}
					fmt.Fprint(w, `{"run": {"id": "shop-1"}}`)
				})
				reach := func(context.Context) (*link, error) {
					return &link{Client: server.NewClient(server.InProcess(api, "ann")), done: func() error { return nil }}, nil
				}
				l, _ := reach(t.Context())
				f := &follower{link: l, id: "shop-1", again: reach}
				_, err := f.news(t.Context(), 0)
				if ok := err == nil; ok != c.ok || c.ok && f.latest.ID != "shop-1" || !c.ok && !server.HasCode(err, server.CodeUnavailable) {
					t.Errorf("after %s: %v, of %+v", time.Since(back.Add(-c.away)), err, f.latest.ID)
				}
			})
		})
	}
}
