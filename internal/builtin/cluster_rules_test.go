package builtin_test

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
)

func TestARolloutOnAClusterReachesNothingOfTheControllers(t *testing.T) {
	const head = `{apiVersion: serin.dev/v1alpha1, kind: CanaryRollout, metadata: {name: shop}, spec: {workload: {deployment: {name: shop}}, traffic: {istio: {virtualService: shop}}, `
	for _, c := range []struct{ name, spec, field, says string }{
		{
			"a token of its own", `analysis: {metrics: {prometheus: {url: "http://p:9090", preset: istio, token: {file: /var/run/secrets/kubernetes.io/serviceaccount/token}}}}`,
			"spec.analysis.metrics.prometheus", "/etc/serin/credentials",
		},
		{
			"a way around", `analysis: {metrics: {prometheus: {url: "http://p:9090", preset: istio, token: {file: /etc/serin/credentials/../../../root/x}}}}`,
			"spec.analysis.metrics.prometheus", "/etc/serin/credentials",
		},
		{
			"a variable", `analysis: {metrics: {prometheus: {url: "http://p:9090", preset: istio, token: {env: AWS_SECRET_ACCESS_KEY}}}}`,
			"spec.analysis.metrics.prometheus", "SERIN_CREDENTIAL_",
		},
		{"a secret that is for rollouts", `analysis: {metrics: {prometheus: {url: "http://p:9090", preset: istio, token: {file: /etc/serin/credentials/prometheus}}}}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, head+c.spec+"}}", c.field, c.says) })
	}
}

func TestAPlainServiceMayBeNamed(t *testing.T) {
	expect(t, `{apiVersion: serin.dev/v1alpha1, kind: CanaryRollout, metadata: {name: shop}, spec: {workload: {deployment: {name: shop}}, traffic: {service: {}}}}`, "", "")
}

// expect parses a rollout and says what is wrong with it on a cluster: nothing
// where no field is named.
func expect(t *testing.T, text, field, says string) {
	t.Helper()
	all, _, err := rollout.ParseAll("shop.yaml", []byte(text), builtin.ClusterCatalog())
	if err != nil {
		t.Fatal(err)
	}
	problems := builtin.ClusterProblems(*all[0])
	switch {
	case field == "" && len(problems) == 0:
	case field == "" || len(problems) != 1:
		t.Errorf("%d problems: %+v", len(problems), problems)
	case problems[0].Field != field || !strings.Contains(problems[0].Message+problems[0].Mend, says):
		t.Errorf("the problem is %+v, want %s and %q", problems[0], field, says)
	}
}
