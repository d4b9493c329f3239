package install

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed chart
var chartFiles embed.FS

// Chart returns the files of the Helm chart by their paths. Its templates are
// the objects of an installation in which single values are Helm's to fill in.
func Chart(o Options) (map[string][]byte, error) {
	files := map[string][]byte{}
	for path, name := range map[string]string{"Chart.yaml": "Chart.yaml", "values.yaml": "values.yaml", "templates/NOTES.txt": "NOTES.txt"} {
		data, err := chartFiles.ReadFile("chart/" + name)
		if err != nil {
			return nil, fmt.Errorf("read a file of the chart: %w", err)
		}
		files[path] = data
	}
	// One replica too many for a disruption budget to be left out.
	o.Namespace, o.Version, o.Replicas, o.Policy = Namespace, Unreleased, 2, NewestPolicy
	o.Confine = ConfinedPorts
	o.Namespaces = nil
	wide, err := Objects(o)
	if err != nil {
		return nil, err
	}
	o.Namespaces = []string{eachNamespace}
	narrow, err := Objects(o)
	if err != nil {
		return nil, err
	}
	c := chart{files: files}
	c.write("crds.yaml", `{{- if .Values.crds }}`, OfKind(wide, "CustomResourceDefinition"), `{{- end }}`)
	c.write("policy.yaml", ifPolicy, OfKind(wide, policyKind.Kind), `{{- end }}`)
	c.write("policy-all.yaml", ifPolicy+"{{- if not .Values.namespaces }}", OfKind(wide, bindingKind.Kind), `{{- end }}{{- end }}`)
	narrowed := OfKind(narrow, bindingKind.Kind)
	for _, b := range narrowed {
		c.err = errors.Join(c.err, markNamespaces(b.Unstructured))
	}
	c.write("policy-namespaces.yaml", ifPolicy+"{{- if .Values.namespaces }}", narrowed, `{{- end }}{{- end }}`)
	leader := named(OfKind(wide, "Role", "RoleBinding"), Controller+"-leader")
	c.write("controller.yaml", "", append(append(OfKind(wide, "ServiceAccount"), leader...), OfKind(wide, "Service", "Deployment")...), "")
	c.write("rbac-all.yaml", `{{- if not .Values.namespaces }}`, OfKind(wide, "ClusterRole", "ClusterRoleBinding"), `{{- end }}`)
	c.write("rbac-namespaces.yaml", "{{- $root := . }}\n{{- range $namespace := .Values.namespaces }}{{ with $root }}\n---",
		inNamespace(OfKind(narrow, "Role", "RoleBinding"), eachNamespace), `{{- end }}{{ end }}`)
	c.write("budget.yaml", `{{- if gt (int .Values.replicas) 1 }}`, OfKind(wide, "PodDisruptionBudget"), `{{- end }}`)
	c.write("network.yaml", `{{- if .Values.networkPolicy.enabled }}`, OfKind(wide, networkKind.Kind), `{{- end }}`)
	return files, c.err
}

// markNamespaces lets Helm say in which namespaces Deployments are held.
func markNamespaces(binding *unstructured.Unstructured) error {
	selector := map[string]any{"matchExpressions": []any{map[string]any{
		"key": corev1.LabelMetadataName, "operator": string(metav1.LabelSelectorOpIn), "values": mark("namespaces"),
	}}}
	return unstructured.SetNestedMap(binding.Object, selector, "spec", "matchResources", "namespaceSelector")
}

// eachNamespace stands for one of the namespaces of a Role-only installation.
const eachNamespace = "each-of-the-namespaces"

// ifPolicy: the API server has the policy's kind.
const ifPolicy = `{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/` + NewestPolicy + `/MutatingAdmissionPolicy" }}`

type chart struct {
	files map[string][]byte
	err   error
}

const generated = "{{- /* Generated from internal/install by `make generate`; do not edit. */ -}}\n"

// write adds a template.
func (c *chart) write(name, before string, objects []Object, after string) {
	var b bytes.Buffer
	b.WriteString(generated)
	if before != "" {
		b.WriteString(before + "\n")
	}
	for i, o := range objects {
		o = Object{o.DeepCopy(), o.Part}
		escape(o.Object)
		if err := fillIn(o.Unstructured); err != nil && c.err == nil {
			c.err = fmt.Errorf("%s: %w", o.Title(), err)
		}
		data, err := yaml.Marshal(o.Object)
		if err != nil && c.err == nil {
			c.err = fmt.Errorf("write %s: %w", o.Title(), err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(helmed(data))
	}
	if after != "" {
		b.WriteString(after + "\n")
	}
	c.files["templates/"+name] = b.Bytes()
}

// marks are what Helm fills in, by the word that stands for it in an object.
// Words and not the actions themselves, as YAML folds long lines.
var marks = map[string]string{
	"service":    "{{ .Release.Service }}",
	"namespaces": "{{ toJson .Values.namespaces }}",
	"image":      "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}",
	"resources":  "{{- toYaml .Values.resources | nindent 10 }}",
	"priority":   "{{ .Values.priorityClassName | quote }}",
	"replicas":   "{{ .Values.replicas }}",
	"strategy":   "{{ if .Values.archive.claim }}Recreate{{ else }}RollingUpdate{{ end }}",
	"ports":      `{{ if not .Values.networkPolicy.ports }}{{ fail "networkPolicy.ports is empty: name at least the port of the API server" }}{{ end }}[{{ range $i, $port := .Values.networkPolicy.ports }}{{ if $i }}, {{ end }}{protocol: TCP, port: {{ $port }}}{{ end }}]`,
	"archive":    "{{ if .Values.archive.claim }}{claimName: {{ .Values.archive.claim | quote }}}{{ else }}{sizeLimit: 1Gi}{{ end }}",
	"volume":     "{{ if .Values.archive.claim }}persistentVolumeClaim{{ else }}emptyDir{{ end }}",
}

// optionalArgs are arguments of the controller that may be missing: when, and
// which. They come in the order of their names.
var optionalArgs = map[string][2]string{
	"optionalA": {".Values.namespaces", `--namespaces={{ join "," .Values.namespaces }}`},
	"optionalB": {".Values.prometheus.url", "--prometheus-url={{ .Values.prometheus.url }}"},
	"optionalC": {`not (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/` + NewestPolicy + `/MutatingAdmissionPolicy")`, "--hold-always"},
}

func mark(name string) string { return "@@" + name + "@@" }

// fillIn puts marks into an object.
func fillIn(u *unstructured.Unstructured) error {
	labels := u.GetLabels()
	labels[managedLabel] = mark("service")
	u.SetLabels(labels)
	switch u.GetKind() {
	case definitionKind.Kind:
		annotations := u.GetAnnotations()
		annotations["helm.sh/resource-policy"] = "keep"
		u.SetAnnotations(annotations)
	case networkKind.Kind:
		egress, _, err := unstructured.NestedSlice(u.Object, "spec", "egress")
		if err != nil || len(egress) != 2 {
			return fmt.Errorf("a rule for name servers and one for the rest are expected: %w", err)
		}
		egress[1] = map[string]any{"ports": mark("ports")}
		return unstructured.SetNestedSlice(u.Object, egress, "spec", "egress")
	case deploymentKind.Kind:
		return fillInDeployment(u)
	}
	return nil
}

func fillInDeployment(u *unstructured.Unstructured) error {
	pod, _, err := unstructured.NestedMap(u.Object, "spec", "template", "spec")
	if err != nil {
		return err
	}
	containers, _ := pod["containers"].([]any)
	volumes, _ := pod["volumes"].([]any)
	if len(containers) != 1 || len(volumes) == 0 {
		return errors.New("one container and a volume for the archive are expected")
	}
	container, _ := containers[0].(map[string]any)
	args, _ := container["args"].([]any)
	for _, name := range slices.Sorted(maps.Keys(optionalArgs)) {
		args = append(args, mark(name))
	}
	container["args"], container["image"], container["resources"] = args, mark("image"), mark("resources")
	pod["priorityClassName"] = mark("priority")
	volumes[0] = map[string]any{"name": "archive", mark("volume"): mark("archive")}
	return errors.Join(
		unstructured.SetNestedMap(u.Object, pod, "spec", "template", "spec"),
		unstructured.SetNestedField(u.Object, mark("replicas"), "spec", "replicas"),
		unstructured.SetNestedMap(u.Object, map[string]any{"type": mark("strategy")}, "spec", "strategy"),
	)
}

var (
	item   = regexp.MustCompile(`(?m)^( *)- '?@@(optional\w)@@'?$`)
	marked = regexp.MustCompile(`'?@@(\w+)@@'?`)
)

// helmed turns marks into actions, and the words that stand for what Helm knows.
func helmed(data []byte) []byte {
	s := item.ReplaceAllStringFunc(string(data), func(line string) string {
		m := item.FindStringSubmatch(line)
		arg := optionalArgs[m[2]]
		return fmt.Sprintf("%[1]s{{- if %[2]s }}\n%[1]s- %[3]s\n%[1]s{{- end }}", m[1], arg[0], arg[1])
	})
	s = marked.ReplaceAllStringFunc(s, func(word string) string { return marks[strings.Trim(word, "'@")] })
	return []byte(strings.NewReplacer(
		eachNamespace, "{{ $namespace }}", Namespace, "{{ .Release.Namespace }}", Unreleased, "{{ .Chart.AppVersion }}",
	).Replace(s))
}

// escape keeps text that looks like an action of a template, such as in
// descriptions, from becoming one.
func escape(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok {
				v[k] = strings.ReplaceAll(s, "{{", "{{ `{{` }}")
				continue
			}
			escape(e)
		}
	case []any:
		for i, e := range v {
			if s, ok := e.(string); ok {
				v[i] = strings.ReplaceAll(s, "{{", "{{ `{{` }}")
				continue
			}
			escape(e)
		}
	}
}

func named(objects []Object, name string) []Object {
	var some []Object
	for _, o := range objects {
		if o.GetName() == name {
			some = append(some, o)
		}
	}
	return some
}

func inNamespace(objects []Object, namespace string) []Object {
	var some []Object
	for _, o := range objects {
		if o.GetNamespace() == namespace {
			some = append(some, o)
		}
	}
	return some
}
