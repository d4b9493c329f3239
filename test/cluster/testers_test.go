//go:build plane

package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/test/plane"
)

const testers = `
  - matches: [{headers: [{name: x-tester, value: "yes"}]}]
    backendRefs: [{name: shop-canary, port: 80}]`

// asTester asks with the testers' header and returns the version that answers.
func (s *shop) asTester() (string, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+plane.GatewayAddress+"/", http.NoBody)
	if err != nil {
		return "", err
	}
	req.Host = s.host
	req.Header.Set("X-Tester", "yes")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("a tester was answered with %s", resp.Status)
	}
	return resp.Header.Get("X-Version"), nil
}

// Testers see the canary whatever the weight is, nobody else does for that, and
// what goes past the weights is told where a person looks.
func TestTestersSeeTheCanary(t *testing.T) {
	t.Parallel()
	last := "    - {name: shop-canary, port: 80, weight: 0}"
	s := open(t, 2, last, last+testers)
	s.roll(longPhases)
	// The cluster's own role edit does not let one read routes.
	edit := s.person("edit")
	s.editor = cluster.Kubeconfig
	const said = "requests with header x-tester: yes go to canary whatever the weight (HTTPRoute "
	doctor := func() {
		t.Helper()
		// The requests so far are known once they have been scraped.
		eventually(t, limit, func() error {
			out, code := s.serin("doctor", "shop")
			// 3: the program that was built is of another version than what it installed.
			if code != 0 && code != 3 || !strings.Contains(out, said) || !strings.Contains(out, "they count in its figures") {
				return fmt.Errorf("serin doctor exits with %d and says\n%s", code, out)
			}
			return nil
		})
	}
	doctor() // and nothing has failed yet, which is no lack of figures
	users := send(t, s.host, 50)
	s.change("v2")
	s.weighs(20)
	answered := func(want string) {
		t.Helper()
		eventually(t, limit, func() error {
			got, err := s.asTester()
			if err == nil && got != want {
				err = fmt.Errorf("a tester sees %s, want %s", got, want)
			}
			return err
		})
	}
	answered("v2")
	begun := time.Now()
	for range 200 {
		if got, err := s.asTester(); err != nil || got != "v2" {
			t.Fatalf("a tester sees %q: %v", got, err)
		}
	}
	s.says(0, said, "describe", "shop")
	s.editor = edit
	const unread = `which requests go to a version whatever the weight may not be read: httproutes.gateway.networking.k8s.io "shop" is forbidden`
	s.says(0, unread, "describe", "shop")
	s.says(0, `"asidesUnknown": "may not be read: `, "describe", "shop", "-o", "json")
	if out, _ := s.serin("describe", "shop"); strings.Contains(out, said) || strings.Contains(out, "service account (serin install") {
		t.Errorf("who may not read the route is told\n%s", out)
	}
	s.editor = cluster.Kubeconfig
	doctor()
	time.Sleep(6 * time.Second) // some ticks with more requests than the weight gives
	if run := s.runs()[0]; run.Status.Verdict == "hold" || run.Status.EndedAt != nil {
		t.Errorf("with testers the run is at %q: %s", run.Status.Phase, run.Status.Reason)
	}
	if got := count(users.got(begun)); got.versions["v1"] < 2*got.versions["v2"] {
		t.Errorf("who answered those who are no testers: %v", got.versions)
	}
	s.says(2, "", "rollback", "shop", "--wait")
	answered("v1")
	s.unharmed(users)
}
