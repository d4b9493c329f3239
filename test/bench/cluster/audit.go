//go:build plane

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// audit counts the controller's requests as the API server has them in its
// audit log.
type audit struct{ policy, log string }

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:serin-system:serin-controller"]
- level: None
`

func newAudit(dir string) (*audit, error) {
	a := &audit{policy: filepath.Join(dir, "audit-policy.yaml"), log: filepath.Join(dir, "audit.log")}
	return a, os.WriteFile(a.policy, []byte(auditPolicy), 0o644)
}

func (a *audit) args() []string {
	return []string{"--audit-policy-file=" + a.policy, "--audit-log-path=" + a.log, "--audit-log-maxsize=10000"}
}

// requests is how often what was asked.
type requests struct {
	leases, watches, others int
	kinds                   map[string]int
}

// between counts what was received in a time.
func (a *audit) between(from, to time.Time) (requests, error) {
	r := requests{kinds: map[string]int{}}
	file, err := os.Open(a.log)
	if err != nil {
		return r, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Verb, Stage string
			ObjectRef   struct{ Resource, Subresource string }
			Received    time.Time `json:"requestReceivedTimestamp"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the last line may be half written
		}
		if e.Received.Before(from) || e.Received.After(to) {
			continue
		}
		watch := e.Verb == "watch"
		if watch != (e.Stage == "ResponseStarted") {
			continue
		}
		switch {
		case e.ObjectRef.Resource == "leases":
			r.leases++
		case watch:
			r.watches++
		default:
			r.others++
			r.kinds[strings.TrimSuffix(e.Verb+" "+e.ObjectRef.Resource+"/"+e.ObjectRef.Subresource, "/")]++
		}
	}
	return r, lines.Err()
}

// most lists what was asked, the most frequent first.
func (r requests) most() string {
	var list []string
	for k := range r.kinds {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b string) int { return r.kinds[b] - r.kinds[a] })
	var out []string
	for _, k := range list {
		out = append(out, fmt.Sprintf("%s %d", k, r.kinds[k]))
	}
	return strings.Join(out, ", ")
}
