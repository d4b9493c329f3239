package kubelet

import (
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestVariablesInArgumentsAreExpanded(t *testing.T) {
	values := map[string]string{"POD_IP": "10.88.1.0", "EMPTY": ""}
	for in, want := range map[string]string{
		"$(POD_IP):8080":   "10.88.1.0:8080",
		"a$(EMPTY)b":       "ab",
		"$(UNKNOWN)":       "$(UNKNOWN)",
		"$$(POD_IP)":       "$(POD_IP)",
		"$POD_IP, $5, 5$":  "$POD_IP, $5, 5$",
		"$(POD_IP":         "$(POD_IP",
		"$(POD_IP)$(EMPTY": "10.88.1.0$(EMPTY",
	} {
		if got := expand(in, values); got != want {
			t.Errorf("%q becomes %q; want %q", in, got, want)
		}
	}
}

func TestEveryPodHasAnAddressOfItsOwn(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("10.88.0.0/23"))
	owner := map[string]types.UID{}
	for i := range a.size() {
		uid := types.UID(rune('a' + i))
		address, err := a.take(uid)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := owner[address]; taken {
			t.Fatalf("%s and %s both have %s", uid, other, address)
		}
		owner[address] = uid
		if again, _ := a.take(uid); again != address {
			t.Fatalf("asked again, %s has %s instead of %s", uid, again, address)
		}
	}
	if _, err := a.take("one too many"); err == nil {
		t.Error("there are more addresses than the network has")
	}
	a.free("a")
	if _, err := a.take("another"); err != nil {
		t.Errorf("an address that was given back is not given again: %v", err)
	}
}

func TestTheWaitAfterACrashDoubles(t *testing.T) {
	b := &backoff{first: 10 * time.Second, max: 5 * time.Minute}
	for _, want := range []int{10, 20, 40, 80, 160, 300, 300} {
		if got := b.next(); got != time.Duration(want)*time.Second {
			t.Errorf("the wait is %s; want %d s", got, want)
		}
	}
}

func TestTheWantedLinesOfALogAreServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	l, err := createLog(path)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = l.stream("stdout").Write([]byte("one\ntwo\nthr"))
	_, _ = l.stream("stderr").Write([]byte("oops\n"))
	_, _ = l.stream("stdout").Write([]byte("ee\nno end"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"":                               "one\ntwo\noops\nthree\nno end\n",
		"tailLines=2":                    "three\nno end\n",
		"tailLines=0":                    "",
		"limitBytes=5":                   "one\nt",
		"stream=Stderr":                  "oops\n",
		"sinceTime=2999-01-01T00:00:00Z": "",
		"follow=true&tailLines=1":        "no end\n",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		ask, err := parseLogQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		ask.copy(t.Context(), w, f, func() bool { return true })
		f.Close()
		if got := w.Body.String(); got != want {
			t.Errorf("%q gives %q; want %q", query, got, want)
		}
	}
	if _, err := parseLogQuery(url.Values{"tailLines": {"many"}}); err == nil {
		t.Error("tailLines=many is taken")
	}
}
