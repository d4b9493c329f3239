package kube_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

type workload struct {
	Name string `json:"name" jsonschema:"required"`
	Size int    `json:"size"`
}

func catalog() rollout.Catalog {
	return rollout.Catalog{
		rollout.WorkloadPort: {"deployment": func() any { return &workload{Size: 3} }},
		rollout.TrafficPort:  {"istio": func() any { return &struct{}{} }},
	}
}

func object(spec string) *serinv1.CanaryRollout {
	return &serinv1.CanaryRollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "shop", Labels: map[string]string{"team": "a"}},
		Spec:       runtime.RawExtension{Raw: []byte(spec)},
	}
}

func TestAnObjectIsReadAsAFileIs(t *testing.T) {
	r, problems, err := kube.ParseRollout(object(`{
		"workload": {"deployment": {"name": "shop"}}, "traffic": {"istio": {}},
		"plan": {"phases": [{"weight": 5, "duration": "1h"}, {"weight": 100}]}, "analysis": null}`), catalog())
	if err != nil || len(problems) != 0 {
		t.Fatal(problems, err)
	}
	if r.Metadata.Name != "shop" || r.Metadata.Namespace != "prod" || r.APIVersion != rollout.APIVersion || r.Kind != rollout.Kind {
		t.Errorf("it is %+v", r.Metadata)
	}
	want := []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Hour)}, {Weight: 100, Duration: rollout.DefaultPhase}}
	if !slices.Equal(r.Spec.Plan.Phases, want) || r.Spec.Plan.Prepare != rollout.DefaultPrepare || len(r.Spec.Analysis.Checks) != 5 {
		t.Errorf("the plan is %+v, the checks %+v", r.Spec.Plan, r.Spec.Analysis.Checks)
	}
	var w workload
	if err := r.Spec.Workload.Decode(&w); err != nil || w != (workload{"shop", 3}) {
		t.Errorf("the workload is %+v: %v", w, err)
	}
}

func TestMistakesInAnObjectNameTheirField(t *testing.T) {
	for _, c := range []struct{ name, spec, field string }{
		{"nothing at all", ``, "spec.workload"},
		{"an unknown field", `{"workload": {"deployment": {"name": "shop"}}, "traffic": {"istio": {}}, "plan": {"phasez": []}}`, "spec.plan.phasez"},
		{"falling weights", `{"workload": {"deployment": {"name": "shop"}}, "traffic": {"istio": {}}, "plan": {"phases": [{"weight": 50}, {"weight": 10}]}}`, "spec.plan.phases[1].weight"},
		{"an adapter of another home", `{"workload": {"process": {}}, "traffic": {"istio": {}}}`, "spec.workload.process"},
		{"an adapter's own field", `{"workload": {"deployment": {"size": 1}}, "traffic": {"istio": {}}}`, "spec.workload.deployment.name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, problems, err := kube.ParseRollout(object(c.spec), catalog())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(problems, func(p rollout.Problem) bool { return p.Field == c.field && p.Message != "" && p.Mend != "" }) {
				t.Errorf("no mistake of %s among %+v", c.field, problems)
			}
			if r.Metadata.Name != "" {
				t.Error("there is a rollout in spite of the mistake")
			}
		})
	}
}

func TestAWarningIsNoMistake(t *testing.T) {
	r, problems, err := kube.ParseRollout(object(`{"workload": {"deployment": {"name": "shop"}}, "traffic": {"istio": {}}, "plan": {"phases": [{"weight": 50}, {"weight": 100}]}}`), catalog())
	if err != nil || r.Metadata.Name != "shop" || len(problems) != 0 {
		t.Errorf("%+v, %+v, %v", r.Metadata, problems, err)
	}
}
