//go:build plane

package install

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// shop is a Deployment whose pods are ready at once.
const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: %s%s}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:%s"}]}
`

const labelled = `, labels: {serin.dev/rollout: shop}`

// held makes a Deployment that serves v1 and is held with v2 by the policy.
func held(t *testing.T, ns string) {
	t.Helper()
	apply(t, fmt.Sprintf(shop, ns, labelled, "v1"))
	serves(t, ns, "v1")
	// The API server follows a new policy a moment after it was made.
	for i := 2; ; i++ {
		apply(t, fmt.Sprintf(shop, ns, labelled, fmt.Sprintf("v%d", i)))
		if deployment(t, ns).Spec.Paused {
			break
		}
		if i > 60 {
			t.Fatal("the policy does not hold the Deployment")
		}
		serves(t, ns, fmt.Sprintf("v%d", i))
	}
}

func deployment(t *testing.T, ns string) *appsv1.Deployment {
	t.Helper()
	var d appsv1.Deployment
	if err := admin(t).Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "shop"}, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func image(d *appsv1.Deployment) string { return d.Spec.Template.Spec.Containers[0].Image }

// serves waits until every pod of the Deployment is of a version and ready.
func serves(t *testing.T, ns, version string) {
	t.Helper()
	eventually(t, func() error {
		d := deployment(t, ns)
		if s := d.Status; image(d) != "shop:"+version || s.ObservedGeneration < d.Generation || s.UpdatedReplicas != 2 || s.AvailableReplicas != 2 || s.Replicas != 2 {
			return fmt.Errorf("%s with %+v does not serve %s", image(d), s, version)
		}
		return nil
	})
}

// pods are the names of the pods that are there.
func pods(t *testing.T, ns string) string {
	t.Helper()
	return kubectl(t, "-n", ns, "get", "pods", "-o", "name", "--sort-by=.metadata.name")
}

// A held Deployment asks for what was not released. Taking Serin away must not
// release it: the pods that serve go on, and the Deployment is an ordinary one.
func TestUninstallLeavesWhatServes(t *testing.T) {
	installed(t)
	ns := namespace(t, "leaving")
	held(t, ns)
	serving, before := servingImage(t, ns), pods(t, ns)

	serin(t, "uninstall", "--dry-run").ends(t, 0).says(t, "deployment/shop in leaving configured", "has the template back that serves", "(dry run)")
	if d := deployment(t, ns); !d.Spec.Paused || image(d) == serving {
		t.Fatal("a dry run released the Deployment")
	}

	serin(t, "uninstall").ends(t, 0).says(t, "has the template back that serves", "customresourcedefinition/canaryruns.serin.dev kept")
	d := deployment(t, ns)
	if _, labelled := d.Labels[serinv1.RolloutLabel]; d.Spec.Paused || labelled || image(d) != serving {
		t.Errorf("paused %t, labels %v, image %s; want an ordinary Deployment of %s", d.Spec.Paused, d.Labels, image(d), serving)
	}
	serves(t, ns, strings.TrimPrefix(serving, "shop:"))
	if after := pods(t, ns); after != before {
		t.Errorf("the pods are\n%s and were\n%s", after, before)
	}
	left := kubectl(t, "get", "clusterrole,clusterrolebinding,role,rolebinding,mutatingadmissionpolicy,mutatingadmissionpolicybinding", "-A", "-o", "name", "-l", "app.kubernetes.io/part-of=serin")
	if left != "" {
		t.Errorf("left: %s", left)
	}
	eventually(t, gone(t, "namespace", "serin-system"))
	// An ordinary release works again.
	apply(t, fmt.Sprintf(shop, ns, "", "v100"))
	serves(t, ns, "v100")
	// And there is nothing left to do.
	if again := serin(t, "uninstall").ends(t, 0); strings.Contains(again.out, "deployment/") || strings.Contains(again.out, "deleted") {
		t.Errorf("the second time: %s", again.out)
	}
}

// servingImage is the image of the pods that run.
func servingImage(t *testing.T, ns string) string {
	t.Helper()
	return strings.Fields(kubectl(t, "-n", ns, "get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"))[0]
}

func TestUninstallKeepsTheTemplateWhenAsked(t *testing.T) {
	installed(t)
	ns := namespace(t, "keeping")
	held(t, ns)
	before, asked := pods(t, ns), image(deployment(t, ns))
	serin(t, "uninstall", "--keep-template").ends(t, 0).says(t, "it stays paused")
	if d := deployment(t, ns); !d.Spec.Paused || image(d) != asked {
		t.Errorf("paused %t with %s, want paused with %s", d.Spec.Paused, image(d), asked)
	}
	if after := pods(t, ns); after != before {
		t.Errorf("the pods are\n%s and were\n%s", after, before)
	}
}

// What a person paused stays so.
func TestUninstallLeavesAPersonsPause(t *testing.T) {
	installed(t)
	ns := namespace(t, "paused")
	apply(t, fmt.Sprintf(shop, ns, labelled, "v1"))
	serves(t, ns, "v1")
	kubectl(t, "-n", ns, "rollout", "pause", "deployment/shop")
	serin(t, "uninstall").ends(t, 0).says(t, "it stays paused, as kubectl")
	if d := deployment(t, ns); !d.Spec.Paused || d.Labels[serinv1.RolloutLabel] != "" {
		t.Errorf("paused %t, labels %v", d.Spec.Paused, d.Labels)
	}
}

// With --crds the kinds go, and with them what is of them.
func TestUninstallTakesTheKindsToo(t *testing.T) {
	installed(t)
	serin(t, "uninstall", "--crds").ends(t, 0).says(t, "customresourcedefinition/canaryruns.serin.dev deleted")
	eventually(t, func() error {
		if out := kubectl(t, "get", "crd", "-o", "name"); strings.Contains(out, "serin.dev") {
			return errors.New(out)
		}
		return nil
	})
}

// A person who may not do it is told before anything is written.
func TestUninstallWithoutPermission(t *testing.T) {
	installed(t)
	serinWith(t, as(t, "nobody"), "uninstall").ends(t, 4).says(t, "nobody")
	kubectl(t, "-n", "serin-system", "get", "deployment", "serin-controller")
	serin(t, "doctor", "--cluster").says(t, "serin-hold holds a Deployment", "the controller may do all")
}
