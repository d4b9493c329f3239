package app

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Who writes a rollout may be somebody else than who runs the controller, and must
// not have its own secrets sent anywhere.
func TestARolloutOfAClusterMayNotReadTheControllersSecrets(t *testing.T) {
	for secret, want := range map[string]string{
		"{file: /var/run/secrets/kubernetes.io/serviceaccount/token}": "spec.analysis.metrics.prometheus",
		"{env: KUBERNETES_SERVICE_HOST}":                              "spec.analysis.metrics.prometheus",
		"{file: /etc/serin/credentials/prometheus}":                   "",
	} {
		spec := `{"workload": {"deployment": {"name": "shop"}}, "traffic": {"service": {}}, "analysis": {"metrics": {"prometheus": {"url": "http://p:9090", "preset": "otel", "token": TOKEN}}}}`
		key, value, _ := strings.Cut(strings.Trim(secret, "{}"), ": ")
		o := &serinv1.CanaryRollout{
			ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "web"},
			Spec:       runtime.RawExtension{Raw: []byte(strings.ReplaceAll(spec, "TOKEN", `{"`+key+`": "`+value+`"}`))},
		}
		_, problems, err := ClusterParser()(o)
		got := ""
		if len(problems) > 0 {
			got = problems[0].Field
		}
		if err != nil || got != want {
			t.Errorf("token: %s: the mistakes are %+v, %v; want one of %q", secret, problems, err, want)
		}
	}
}
