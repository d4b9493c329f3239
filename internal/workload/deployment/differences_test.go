package deployment

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/workload"
)

func twoContainers() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop", serinv1.HashLabel: "abc"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "proxy", Image: "proxy:1"},
			{
				Name: "shop", Image: "shop:v1", Args: []string{"-listen=:80"},
				Env: []corev1.EnvVar{{Name: "TOKEN", Value: "hunter1"}, {Name: "ZONE", Value: "eu"}},
			},
		}},
	}
}

func TestWhatDiffersBetweenTwoTemplates(t *testing.T) {
	stable, canary := twoContainers(), twoContainers()
	canary.Labels[serinv1.HashLabel] = "def"
	canary.Annotations = map[string]string{"checksum/config": "s3cr3t"}
	c := &canary.Spec.Containers[1]
	c.Image, c.Args = "shop:v2", []string{"-listen=:80", "-cache"}
	c.Env = []corev1.EnvVar{
		{Name: "ZONE", Value: "eu"}, {Name: "TOKEN", Value: "hunter2"},
		{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "new"}}},
	}
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	got, err := differences(stable, canary)
	if err != nil {
		t.Fatal(err)
	}
	want := []workload.Difference{
		{What: "annotations.checksum/config", Canary: "a value"},
		{What: "containers[shop].args", Stable: `["-listen=:80"]`, Canary: `["-listen=:80","-cache"]`},
		{What: "containers[shop].env[KEY].valueFrom.secretKeyRef.key", Canary: "new"},
		{What: "containers[shop].env[KEY].valueFrom.secretKeyRef.name", Canary: "keys"},
		{What: "containers[shop].env[TOKEN].value", Stable: "a value", Canary: "another value"},
		{What: "containers[shop].image", Stable: "shop:v1", Canary: "shop:v2"},
		{What: "containers[shop].resources.limits.memory", Canary: "64Mi"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d differences: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	if same, err := differences(stable, stable); err != nil || len(same) != 0 {
		t.Errorf("a template differs from itself by %+v, %v", same, err)
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	stable, canary := twoContainers(), twoContainers()
	for i := range 200 {
		canary.Spec.Containers[1].Env = append(canary.Spec.Containers[1].Env, corev1.EnvVar{Name: strings.Repeat("A", i+1), Value: "x"})
	}
	canary.Spec.Containers[0].Command = []string{strings.Repeat("é", valueBytes)}
	got, err := differences(stable, canary)
	if err != nil {
		t.Fatal(err)
	}
	if last := got[len(got)-1]; len(got) != mostDifferences+1 || last.What != "151 more fields" {
		t.Errorf("%d differences, the last %+v", len(got), last)
	}
	for _, d := range got {
		if len(d.Canary) > valueBytes+len("…") || !strings.HasPrefix(d.What, "containers[") && !strings.HasSuffix(d.What, "more fields") {
			t.Errorf("the difference %+v", d)
		}
	}
}
