//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"serin.dev/serin/test/plane"
)

const guidePage = "../../docs/kubernetes.md"

// before is what the reader of the guide has.
const before = `apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: sample:v1
        args: [-listen=$(POD_IP):8080, -version=v1]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: web}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: web}
spec:
  parentRefs: [{name: gateway, namespace: gateway}]
  hostnames: [NS.example]
  rules:
  - backendRefs: [{name: shop, port: 80}]
`

// section returns the fenced blocks of a language in the section whose heading
// begins so.
func section(t *testing.T, page, heading, language string) []string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n## "+heading)
	if !ok {
		t.Fatalf("the guide has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		t.Fatalf("section %q has no %s", heading, language)
	}
	return out
}

// The guide is followed word for word, but for the addresses of Prometheus and of
// images, which are the reader's own.
func TestTheGuideLeadsToAFirstCanary(t *testing.T) {
	t.Parallel()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(guidePage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	s := &shop{t: t, namespace: "web", host: "web.example"}
	s.apply(strings.ReplaceAll(before, "NS.example", s.host))
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
	})
	dir := t.TempDir()
	yaml := section(t, page, "2.", "yaml")[0]
	if lines := strings.Count(strings.TrimSpace(yaml), "\n") + 1; lines > 15 {
		t.Errorf("the object has %d lines, more than 15", lines)
	}
	if err := os.WriteFile(filepath.Join(dir, "rollout.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer(
		"serin install --prometheus-url http://prometheus.monitoring:9090", "serin install --image serin:test --version v0.1.0 --prometheus-url "+plane.PrometheusURL,
		"registry.example/shop:v2", "sample:v2",
	)
	path := filepath.Dir(program) + ":" + filepath.Dir(cluster.Program("kubectl")) + ":" + os.Getenv("PATH")
	run := func(line string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", own.Replace(line))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig, "PATH="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	s.serves(3)
	users := send(t, s.host, 20)
	commands := 0
	for _, heading := range []string{"1.", "2.", "3.", "4."} {
		if heading == "4." {
			eventually(t, limit, func() error {
				if c := condition(s.rollout().Status.Conditions, "Ready"); c == nil || c.Status != metav1.ConditionTrue {
					return fmt.Errorf("the rollout is not ready: %+v", s.rollout().Status.Conditions)
				}
				return nil
			})
		}
		run(section(t, page, heading, "sh")[0])
		if commands++; commands > 4 {
			t.Error("it takes more than four commands")
		}
	}
	eventually(t, limit, func() error {
		if got := s.weights(); got[1] != 5 {
			return fmt.Errorf("the canary's weight is %d: %+v", got[1], s.rollout().Status)
		}
		return nil
	})
	for line := range strings.Lines(section(t, page, "4.", "sh")[1]) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if strings.HasPrefix(line, "serin report") {
			s.ends(1, limit)
		}
		if out := run(line); strings.TrimSpace(out) == "" {
			t.Errorf("%s printed nothing", line)
		}
		if strings.HasPrefix(line, "serin promote") {
			eventually(t, limit, func() error {
				if got := s.weights(); got[1] != 10 {
					return fmt.Errorf("the canary's weight is %d", got[1])
				}
				return nil
			})
		}
	}
	if out := run("serin revert shop -n web"); !strings.Contains(out, "v1") {
		t.Errorf("serin revert said %q", out)
	}
	eventually(t, limit, func() error {
		if d := s.deployment(); d.Spec.Paused {
			return fmt.Errorf("the Deployment is still held")
		}
		return nil
	})
	time.Sleep(time.Second)
	users.stop()
	if got := count(users.got(time.Time{})); got.failed > 0 {
		t.Errorf("%d of %d requests failed: %v", got.failed, got.all, got.why)
	}
}
