//go:build plane

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// withHoldback is what a plan has that leaves stable a tenth to the end. The few
// requests of that tenth prove nothing of response times within seconds.
var withHoldback = []string{"drain: 3s", "drain: 3s\n    holdback: 10", ", {name: latency, type: responseTime}", ""}

// A holdback leaves stable its share and all of its pods until the canary has won.
// Then the rest goes to the pods that were tested, without a failed request.
func TestAHoldbackLeavesStableItsShareUntilTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t, 3)
	s.roll(quickPhases, withHoldback...)
	old := s.pods()
	weights := s.timedHistory()
	users := send(t, s.host, 50)
	s.change("v2")
	s.weighs(90)
	tested := s.podsOf("v2")
	if kept := s.podsOf("v1"); !slices.Equal(kept, old) {
		t.Errorf("in the last phase %v are left of stable's pods %v", kept, old)
	}
	s.released(1, 3)
	ended := time.Now()
	time.Sleep(tick)
	users.stop()
	if got := count(users.got(time.Time{})); got.failed > 0 {
		t.Errorf("%d of %d requests failed: %v", got.failed, got.all, got.why)
	}
	if got := count(users.got(ended)); got.versions["v2"] == 0 || got.versions["v1"] > 0 {
		t.Errorf("after the end: %v", got.versions)
	}
	if now := s.pods(); len(tested) != 3 || !slices.Equal(now, tested) {
		t.Errorf("%v serve; in the last phase %v were tested", now, tested)
	}
	phases := weights()
	if got := fmt.Sprint(weightsOnly(phases)); got != "[0 5 50 90 0]" { // stable's Service then has the tested pods
		t.Fatalf("the canary's weights were %s", got)
	}
	checkShare(t, users.got(time.Time{}), phases[3].at, phases[4].at.Add(-oneWrite), 0.9)
	s.recorded("shop-1")
}

// What a version does only in its last phase is compared with the share that was
// held back, and all of stable's pods are there to take everything.
func TestAFaultAtTheEndIsComparedWithTheHoldback(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll("[{weight: 50, duration: 8s}, {weight: 100, duration: 5m}]", withHoldback...)
	old := s.pods()
	users := send(t, s.host, 50)
	writes := s.measure()
	file := filepath.Join(t.TempDir(), "errors")
	s.change("v2", "-errors-when="+file)
	s.weighs(90)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := s.rolledBack(1, "errors")
	ended := time.Now()
	time.Sleep(tick)
	users.stop()
	if got := count(users.got(ended)); got.versions["v2"] > 0 || got.versions["v1"] == 0 || got.failed > 0 {
		t.Errorf("after the rollback: %v, %d failed: %v", got.versions, got.failed, got.why)
	}
	s.wentBackAtOnce("shop-1", users, writes)
	if !strings.Contains(run.Status.Reason, "times stable") {
		t.Errorf("it was not compared with what is held back: %s", run.Status.Reason)
	}
	if now := s.podsOf("v1"); !slices.Equal(now, old) {
		t.Errorf("%v serve; before there were %v", now, old)
	}
}
