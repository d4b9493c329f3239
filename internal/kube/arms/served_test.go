package arms

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cluster is one that serves some kinds.
type cluster struct {
	client.Client
	kinds *meta.DefaultRESTMapper
}

func (c cluster) RESTMapper() meta.RESTMapper { return c.kinds }

func TestTheBestVersionThatIsServedIsRead(t *testing.T) {
	kind := schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"}
	for _, c := range []struct {
		served []string
		want   string
	}{
		{[]string{"v1alpha3", "v1beta1", "v1"}, "v1"},
		{[]string{"v1alpha3", "v1beta1"}, "v1beta1"}, // Istio before 1.22
		{[]string{"v1alpha3"}, ""},
		{nil, ""},
	} {
		kinds := meta.NewDefaultRESTMapper(nil)
		for _, v := range c.served {
			kinds.Add(kind.WithVersion(v), meta.RESTScopeNamespace)
		}
		got, err := Served(cluster{kinds: kinds}, kind, []string{"v1", "v1beta1"}, "install Istio")
		switch {
		case c.want == "" && (!Refused(err) || !strings.Contains(err.Error(), "install Istio")):
			t.Errorf("of %v: %v, want it refused with what to do", c.served, err)
		case c.want != "" && (err != nil || got.Version != c.want):
			t.Errorf("of %v: %v (%v), want %s", c.served, got, err, c.want)
		}
	}
}
