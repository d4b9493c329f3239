package install

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
)

// versionAnnotation on a definition says which Serin wrote it, exactly; a label
// cannot hold every version.
const versionAnnotation = "serin.dev/version"

// VersionOf is the version of the Serin that wrote a definition; empty when
// something else did.
func VersionOf(definition *unstructured.Unstructured) string {
	return definition.GetAnnotations()[versionAnnotation]
}

// definitions are Serin's own kinds.
func (o Options) definitions() ([]client.Object, error) {
	crds, err := kube.CRDs()
	if err != nil {
		return nil, err
	}
	var all []client.Object
	for _, crd := range crds {
		meta := o.meta("", crd.Name)
		crd.Labels = meta.Labels
		if crd.Annotations == nil {
			crd.Annotations = map[string]string{}
		}
		crd.Annotations[versionAnnotation] = o.Version
		crd.SetGroupVersionKind(definitionKind)
		all = append(all, crd)
	}
	return all, nil
}

// downgrade says why a definition that is in the cluster must not be replaced
// by one of this program, empty when it may.
func downgrade(live, wanted *unstructured.Unstructured) string {
	if live == nil || live.GetKind() != definitionKind.Kind {
		return ""
	}
	there := live.GetAnnotations()[versionAnnotation]
	is, errIs := version.ParseSemantic(there)
	will, errWill := version.ParseSemantic(wanted.GetAnnotations()[versionAnnotation])
	if errIs != nil || errWill != nil || !will.LessThan(is) {
		return ""
	}
	return fmt.Sprintf("%s in the cluster is of serin %s, which is newer than %s: fields that only the newer one knows would be lost; use serin %s or newer",
		Title(live), there, wanted.GetAnnotations()[versionAnnotation], there)
}
