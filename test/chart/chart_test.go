// Package chart tests that Helm makes of the chart what `serin install` applies.
package chart

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/install"
)

func TestTheChartIsWhatInstallApplies(t *testing.T) {
	const namespace = "canaries"
	for _, test := range []struct {
		name    string
		values  string
		options install.Options
		old     bool
	}{
		{name: "all namespaces"},
		{name: "some namespaces", values: "namespaces: [shop, billing]", options: install.Options{Namespaces: []string{"shop", "billing"}}},
		{
			name:    "everything said",
			values:  "{networkPolicy: {enabled: true, ports: [443, 9090, 8443]}, replicas: 3, prometheus: {url: 'http://prometheus:9090'}, archive: {claim: records}, priorityClassName: high, image: {repository: registry.example/serin, tag: v9}, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}}",
			options: install.Options{Confine: []int{443, 9090, 8443}, Replicas: 3, PrometheusURL: "http://prometheus:9090", ArchiveClaim: "records", PriorityClass: "high", Image: "registry.example/serin:v9", Resources: install.Resources{CPURequest: "1", MemoryRequest: "1Gi", MemoryLimit: "2Gi"}},
		},
		{name: "an API server without the policy's kind", old: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.options
			o.Namespace, o.Rules, o.Policy = namespace, app.Permissions(), install.NewestPolicy
			if test.old {
				o.Policy = ""
			}
			objects, err := install.Objects(o)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]map[string]any{}
			for _, obj := range objects {
				if obj.GetKind() != "Namespace" { // Helm makes that itself
					want[obj.Title()] = obj.Object
				}
			}
			got := rendered(t, namespace, test.values, !test.old)
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if _, ok := got[name]; !ok {
					t.Errorf("the chart lacks %s", name)
					continue
				}
				if w := through(t, want[name]); !reflect.DeepEqual(got[name], w) {
					t.Errorf("%s is\n%s\nand serin install applies\n%s", name, text(t, got[name]), text(t, w))
				}
			}
			for name := range got {
				if _, ok := want[name]; !ok {
					t.Errorf("the chart has %s, and serin install has not", name)
				}
			}
		})
	}
}

// rendered is what Helm makes of the chart, without what only Helm adds.
func rendered(t *testing.T, namespace, values string, policy bool) map[string]map[string]any {
	t.Helper()
	chart, err := loader.Load("../../deploy/helm/serin")
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &own); err != nil {
		t.Fatal(err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	if policy {
		capabilities.APIVersions = append(capabilities.APIVersions, "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")
	}
	all, err := util.ToRenderValues(chart, own, common.ReleaseOptions{Name: "serin", Namespace: namespace}, capabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]map[string]any{}
	for file, content := range files {
		if strings.HasSuffix(file, "NOTES.txt") {
			continue
		}
		for _, document := range strings.Split("\n"+content, "\n---") {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, document)
			}
			if len(u.Object) == 0 {
				continue
			}
			labels := u.GetLabels()
			if labels["app.kubernetes.io/managed-by"] != "Helm" {
				t.Errorf("%s does not say that it is Helm's", install.Title(u))
			}
			delete(labels, "app.kubernetes.io/managed-by")
			u.SetLabels(labels)
			annotations := u.GetAnnotations()
			delete(annotations, "helm.sh/resource-policy")
			if len(annotations) > 0 {
				u.SetAnnotations(annotations)
			}
			if pod, ok, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec"); ok && pod["priorityClassName"] == "" {
				unstructured.RemoveNestedField(u.Object, "spec", "template", "spec", "priorityClassName")
			}
			objects[install.Title(u)] = through(t, u.Object)
		}
	}
	return objects
}

// through reads an object back from its own text, with quantities as text and
// arguments in the order of their names.
func through(t *testing.T, obj map[string]any) map[string]any {
	t.Helper()
	var back map[string]any
	if err := yaml.Unmarshal([]byte(text(t, obj)), &back); err != nil {
		t.Fatal(err)
	}
	containers, _, _ := unstructured.NestedSlice(back, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container := c.(map[string]any)
		args := container["args"].([]any)
		slices.SortFunc(args, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, of := range container["resources"].(map[string]any) {
			for k, v := range of.(map[string]any) {
				of.(map[string]any)[k] = fmt.Sprint(v)
			}
		}
	}
	if len(containers) > 0 {
		if err := unstructured.SetNestedSlice(back, containers, "spec", "template", "spec", "containers"); err != nil {
			t.Fatal(err)
		}
	}
	return back
}

func text(t *testing.T, obj map[string]any) string {
	t.Helper()
	data, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
