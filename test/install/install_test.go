//go:build plane

package install

import (
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/install"
)

// What is applied is there, the controller gets ready, and a second time there
// is nothing left to do.
func TestInstallingAgainChangesNothing(t *testing.T) {
	serin(t, "uninstall", "--crds").ends(t, 0)
	first := installed(t).says(t, "deployment/serin-controller in serin-system created", "the controller is ready")
	for _, line := range strings.Split(strings.TrimSpace(first.out), "\n") {
		// What the uninstallation before left is taken up again.
		if !strings.HasSuffix(line, " created") && !strings.HasSuffix(line, " unchanged") {
			t.Errorf("the first time: %s", line)
		}
	}
	before := kubectl(t, "-n", "serin-system", "get", "deployment", "serin-controller", "-o", "jsonpath={.metadata.resourceVersion}")
	for _, line := range strings.Split(strings.TrimSpace(installed(t).out), "\n") {
		if !strings.HasSuffix(line, " unchanged") {
			t.Errorf("the second time: %s", line)
		}
	}
	if after := kubectl(t, "-n", "serin-system", "get", "deployment", "serin-controller", "-o", "jsonpath={.metadata.resourceVersion}"); after != before {
		t.Error("installing the same again wrote the Deployment")
	}
}

func TestADryRunWritesNothing(t *testing.T) {
	serin(t, "install", "--version", version, "--namespace", "dry", "--dry-run", "--force-conflicts").ends(t, 0).says(t, "namespace/dry created (dry run)", "deployment/serin-controller in dry created")
	if out := kubectl(t, "get", "namespaces", "-o", "name"); strings.Contains(out, "namespace/dry") {
		t.Error("a dry run made the namespace")
	}
	installed(t)
	versions := func() string {
		return kubectl(t, "get", "crd,clusterrole,clusterrolebinding,deployment,serviceaccount,role,rolebinding,service", "-A", "-l", "app.kubernetes.io/part-of=serin", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.generation} {.metadata.labels}{\"\\n\"}{end}")
	}
	before := versions()
	serin(t, "install", "--version", "v1.5.0", "--dry-run").ends(t, 0).says(t, "deployment/serin-controller in serin-system configured (dry run)")
	if after := versions(); after != before {
		t.Errorf("a dry run changed objects:\n%s\nwere\n%s", after, before)
	}
}

// can asks the API server whether a user may do something.
func can(t *testing.T, c kubernetes.Interface, a authorizationv1.ResourceAttributes) bool {
	t.Helper()
	r, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Allowed
}

// controller is a client with the controller's own token.
func controller(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := cluster.ServiceAccount(t.Context(), install.Namespace, install.Controller)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(rest.CopyConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The controller's token opens what the adapters name, and no more.
func TestTheControllerMayDoWhatItNeedsAndNoMore(t *testing.T) {
	installed(t)
	ns := namespace(t, "rights")
	c := controller(t)
	asked := 0
	for _, r := range app.Permissions() {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				name, sub, _ := strings.Cut(resource, "/")
				for _, verb := range r.Verbs {
					asked++
					if !can(t, c, authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: group, Resource: name, Subresource: sub}) {
						t.Errorf("the controller may not %s %s.%s", verb, resource, group)
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Fatal("the controller needs nothing")
	}
	for _, a := range []authorizationv1.ResourceAttributes{
		{Verb: "get", Resource: "secrets"}, {Verb: "list", Resource: "secrets"}, {Verb: "watch", Resource: "secrets"},
		{Verb: "delete", Group: "apps", Resource: "deployments"}, {Verb: "create", Group: "apps", Resource: "deployments"},
		{Verb: "create", Resource: "pods"}, {Verb: "create", Resource: "pods", Subresource: "exec"}, {Verb: "delete", Resource: "services"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}, {Verb: "impersonate", Resource: "users"},
		{Verb: "delete", Group: "serin.dev", Resource: "canaryrollouts"}, {Verb: "get", Resource: "nodes"},
	} {
		a.Namespace = ns
		if can(t, c, a) {
			t.Errorf("the controller may %s %s/%s", a.Verb, a.Resource, a.Subresource)
		}
	}
	if _, err := c.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the controller listed secrets: %v", err)
	}
}

// With --namespaces there is no ClusterRole of the controller's, an
// administrator applies the one part and the owner of the namespaces the other.
func TestSomeNamespacesNeedNoClusterRole(t *testing.T) {
	serin(t, "uninstall").ends(t, 0)
	eventually(t, gone(t, "namespace", install.Namespace))
	ours, others := namespace(t, "ours"), namespace(t, "others")
	serin(t, "install", "--version", version, "--namespaces", ours, "--part", "cluster").ends(t, 0)
	owner := as(t, "olga")
	for _, ns := range []string{ours, install.Namespace} {
		kubectl(t, "-n", ns, "create", "rolebinding", "olga", "--clusterrole=cluster-admin", "--user=olga")
	}
	serinWith(t, owner, "install", "--version", version, "--namespaces", ours, "--part", "namespace").ends(t, 0).says(t, "the controller is ready")
	if out := kubectl(t, "get", "clusterrole,clusterrolebinding", "-o", "name", "-l", "app.kubernetes.io/part-of=serin"); out != "" {
		t.Errorf("there are %s", out)
	}
	c := controller(t)
	for ns, want := range map[string]bool{ours: true, others: false, "default": false} {
		if got := can(t, c, authorizationv1.ResourceAttributes{Namespace: ns, Verb: "list", Group: "serin.dev", Resource: "canaryrollouts"}); got != want {
			t.Errorf("the controller may list rollouts in %s: %t, want %t", ns, got, want)
		}
	}
	args := kubectl(t, "-n", install.Namespace, "get", "deployment", install.Controller, "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	if !strings.Contains(args, `"--namespaces=ours"`) {
		t.Errorf("the controller was started with %s", args)
	}
	serin(t, "uninstall").ends(t, 0)
	eventually(t, gone(t, "namespace", install.Namespace))
}

// A Serin that had all namespaces and has some now keeps no permissions for the
// others, and takes none of a Serin that is somewhere else.
func TestFewerNamespacesTakeTheClusterRoleAway(t *testing.T) {
	installed(t)
	few := namespace(t, "few")
	roles := func() string {
		return strings.Join(strings.Fields(kubectl(t, "get", "clusterrole,clusterrolebinding", "-o", "name", "-l", "app.kubernetes.io/part-of=serin")), " ")
	}
	before := roles()
	serin(t, "install", "--version", version, "--namespace", "elsewhere", "--namespaces", few, "--force-conflicts").ends(t, 0)
	if after := roles(); after != before {
		t.Errorf("another installation left %s of %s", after, before)
	}
	kubectl(t, "delete", "namespace", "elsewhere")
	installed(t, "--namespaces", few).says(t, "clusterrolebinding/serin-controller deleted: no longer asked for", "clusterrole/serin-controller deleted: no longer asked for")
	if after := roles(); after != "" {
		t.Errorf("there are %s", after)
	}
	c := controller(t)
	for ns, want := range map[string]bool{few: true, "default": false} {
		if got := can(t, c, authorizationv1.ResourceAttributes{Namespace: ns, Verb: "list", Group: "serin.dev", Resource: "canaryrollouts"}); got != want {
			t.Errorf("the controller may list rollouts in %s: %t, want %t", ns, got, want)
		}
	}
	other := namespace(t, "other")
	installed(t, "--namespaces", other).says(t, "rolebinding/serin-controller in "+few+" deleted: no longer asked for", "role/serin-view in "+few+" deleted: no longer asked for")
	for ns, want := range map[string]bool{few: false, other: true} {
		if got := can(t, c, authorizationv1.ResourceAttributes{Namespace: ns, Verb: "list", Group: "serin.dev", Resource: "canaryrollouts"}); got != want {
			t.Errorf("with another namespace the controller may list rollouts in %s: %t, want %t", ns, got, want)
		}
	}
	installed(t)
	if out := kubectl(t, "get", "role,rolebinding", "-n", other, "-o", "name", "-l", "app.kubernetes.io/part-of=serin"); out != "" {
		t.Errorf("for all namespaces again there are %s", out)
	}
	if after := roles(); after != before {
		t.Errorf("for all namespaces again there are %s, and were %s", after, before)
	}
}

// What a cluster has once is not taken from a Serin in another namespace, whose
// Deployments nobody could let go then.
func TestASecondSerinIsRefused(t *testing.T) {
	installed(t)
	some := namespace(t, "some")
	once := func() string {
		return kubectl(t, "get", "mutatingadmissionpolicy/serin-hold", "mutatingadmissionpolicybinding/serin-hold", "clusterrolebinding/serin-controller", "-o",
			"jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}")
	}
	before := once()
	for name, args := range map[string][]string{
		"for all namespaces": nil,
		"for some":           {"--namespaces", some},
		"its cluster part":   {"--namespaces", some, "--part", "cluster"},
		"as a dry run":       {"--dry-run"},
	} {
		refused := serin(t, append([]string{"install", "--version", version, "--namespace", "second"}, args...)...).ends(t, 4).says(t,
			"the controller in serin-system", "serin install --namespace serin-system", "serin uninstall --namespace serin-system", "--force-conflicts")
		if refused.out != "" {
			t.Errorf("%s: it was refused and did %s", name, refused.out)
		}
	}
	if after := once(); after != before {
		t.Errorf("it was refused and wrote\n%s\nthat were\n%s", after, before)
	}
	if out := kubectl(t, "get", "namespaces", "-o", "name"); strings.Contains(out, "namespace/second") {
		t.Error("it was refused and made its namespace")
	}
	// Without its controller an installation is nobody's.
	kubectl(t, "-n", install.Namespace, "delete", "deployment", install.Controller)
	serin(t, "install", "--version", version, "--namespace", "second").ends(t, 0).says(t, "the controller is ready")
	serin(t, "install", "--version", version).ends(t, 4).says(t, "the controller in second")
	installed(t, "--force-conflicts")
	// What was taken over from is not taken out together with what took over.
	before = once()
	serin(t, "uninstall", "--namespace", "second").ends(t, 4).says(t, "the controller in serin-system", "serin uninstall --namespace serin-system")
	if after := once(); after != before {
		t.Errorf("it was refused and wrote\n%s\nthat were\n%s", after, before)
	}
	kubectl(t, "delete", "namespace", "second", some, "--wait=false")
	installed(t)
}

// Who owns some namespaces and may not see the others narrows an installation
// too: the permissions in the namespace that is left go.
func TestOwnersOfNamespacesNarrowThem(t *testing.T) {
	serin(t, "uninstall").ends(t, 0)
	eventually(t, gone(t, "namespace", install.Namespace))
	kept, left := namespace(t, "kept"), namespace(t, "left")
	serin(t, "install", "--version", version, "--namespaces", kept+","+left, "--part", "cluster").ends(t, 0)
	owner := as(t, "otto")
	for _, ns := range []string{kept, left, install.Namespace} {
		kubectl(t, "-n", ns, "create", "rolebinding", "otto", "--clusterrole=cluster-admin", "--user=otto")
	}
	narrow := func(namespaces string) told {
		t.Helper()
		return serinWith(t, owner, "install", "--version", version, "--namespaces", namespaces, "--part", "namespace")
	}
	narrow(kept+","+left).ends(t, 0)
	narrow(kept).ends(t, 0).says(t, "rolebinding/serin-controller in left deleted: no longer asked for", "role/serin-edit in left deleted")
	roles := func(ns string) string {
		return kubectl(t, "get", "role,rolebinding", "-n", ns, "-o", "name", "-l", "app.kubernetes.io/part-of=serin")
	}
	if out := roles(left); out != "" {
		t.Errorf("there are %s", out)
	}
	if roles(kept) == "" {
		t.Error("the permissions in the namespace that stays went too")
	}
	// What may not be seen there is told.
	narrow(kept+","+left).ends(t, 0)
	kubectl(t, "-n", left, "delete", "rolebinding", "otto")
	narrow(kept).ends(t, 0).says(t, "rolebinding/serin-controller in left kept: no longer asked for, and you may not read it")
	serin(t, "uninstall").ends(t, 0)
	eventually(t, gone(t, "namespace", install.Namespace))
}

// A namespace is not left in the middle of a run: nobody would judge the canary
// that has its share of the requests there.
func TestANamespaceIsNotLeftInTheMiddleOfARun(t *testing.T) {
	installed(t)
	few, busy := namespace(t, "quiet"), namespace(t, "busy")
	objects := strings.NewReplacer("NS", busy, ", finalizers: [serin.dev/rollout]", "", "finalizers: [serin.dev/run], ", "").Replace(midRun)
	apply(t, objects[strings.Index(objects, "---\napiVersion: serin.dev"):])
	refused := serin(t, "install", "--version", version, "--namespaces", few).ends(t, 4).says(t, "shop-1 in busy (serin rollback shop -n busy)", "--namespaces")
	if refused.out != "" {
		t.Errorf("it was refused and did %s", refused.out)
	}
	installed(t, "--namespaces", few+","+busy).says(t, "clusterrole/serin-controller deleted")
	serin(t, "install", "--version", version, "--namespaces", few).ends(t, 4)
	kubectl(t, "-n", busy, "patch", "canaryrun", "shop-1", "--type=merge", "--subresource=status", "-p", `{"status":{"phase":"rolledBack","endedAt":"2026-01-01T01:00:00.000000Z"}}`)
	installed(t, "--namespaces", few).says(t, "canaryrollout/shop in busy kept: nobody carries it now")
	installed(t)
	kubectl(t, "delete", "namespace", few, busy, "--wait=false")
}

// The namespace enforces the strictest of the pod security standards, and the
// API server takes the controller's pod there.
func TestTheControllerIsARestrictedPod(t *testing.T) {
	installed(t, "--replicas", "2")
	label := kubectl(t, "get", "namespace", install.Namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`)
	if label != "restricted" {
		t.Errorf("the namespace enforces %q", label)
	}
	pods, err := cluster.Client.CoreV1().Pods(install.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + install.Controller})
	if err != nil || len(pods.Items) < 2 {
		t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	for _, p := range pods.Items {
		s := p.Spec.Containers[0].SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || p.Spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s is not read-only or not confined", p.Name)
		}
	}
	kubectl(t, "-n", install.Namespace, "get", "poddisruptionbudget", install.Controller)
	installed(t).says(t, "poddisruptionbudget/serin-controller in serin-system deleted: no longer asked for")
	if left := kubectl(t, "get", "poddisruptionbudgets", "-A", "-o", "name"); left != "" {
		t.Errorf("there are %s", left)
	}
}

// A NetworkPolicy is there when it was asked for, as the API server takes it, and
// goes when it no longer is, or with the rest. One of somebody else's stays.
func TestTheControllerIsConfinedWhenAskedFor(t *testing.T) {
	installed(t)
	serin(t, "install", "--version", version, "--network-policy", "--dry-run").ends(t, 0).says(t, "networkpolicy/serin-controller in serin-system created (dry run)")
	serin(t, "install", "--version", version, "--network-policy", "--network-policy-ports", "").ends(t, 4)
	serin(t, "install", "--version", version, "--network-policy", "--prometheus-url", "http://metrics:8428").ends(t, 4).says(t, "8428 is missing")
	installed(t, "--network-policy", "--network-policy-ports", "443,6443,9090,8443")
	ports := kubectl(t, "-n", install.Namespace, "get", "networkpolicy", install.Controller, "-o", "jsonpath={.spec.policyTypes} {.spec.ingress[*].ports[*].port} {.spec.egress[*].ports[*].port} {.spec.podSelector.matchLabels}")
	if want := `["Ingress","Egress"] 8080 8081 53 53 443 6443 9090 8443 {"app.kubernetes.io/name":"serin-controller","app.kubernetes.io/part-of":"serin"}`; strings.TrimSpace(ports) != want {
		t.Errorf("the policy says %s, want %s", ports, want)
	}
	apply(t, `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: own, namespace: serin-system}, spec: {podSelector: {}}}`)
	serin(t, "install", "--version", version, "--dry-run").ends(t, 0).says(t, "networkpolicy/serin-controller in serin-system deleted: no longer asked for (dry run)")
	left := func() string {
		return strings.Join(strings.Fields(kubectl(t, "-n", install.Namespace, "get", "networkpolicies", "-o", "name")), " ")
	}
	if got, want := left(), "networkpolicy.networking.k8s.io/own networkpolicy.networking.k8s.io/serin-controller"; got != want {
		t.Errorf("after a dry run there are %s", got)
	}
	installed(t).says(t, "networkpolicy/serin-controller in serin-system deleted: no longer asked for")
	if got := left(); got != "networkpolicy.networking.k8s.io/own" {
		t.Errorf("there are %s", got)
	}
	installed(t, "--network-policy")
	kubectl(t, "-n", install.Namespace, "delete", "networkpolicy", "own")
	serin(t, "uninstall").ends(t, 0)
	if left := kubectl(t, "get", "networkpolicies", "-A", "-o", "name"); left != "" {
		t.Errorf("there are %s", left)
	}
	installed(t)
}

// Fields that others have set are theirs until somebody says otherwise.
func TestConflictsNameWhoAndWhat(t *testing.T) {
	installed(t)
	kubectl(t, "-n", install.Namespace, "set", "image", "deployment/"+install.Controller, "controller=registry.example/serin:own", "--field-manager=gitops")
	refused := serin(t, "install", "--version", version).ends(t, 4).says(t, "gitops", "image", "--force-conflicts")
	if strings.Contains(refused.out, "deployment/") {
		t.Errorf("the Deployment was written: %s", refused.out)
	}
	installed(t, "--force-conflicts").says(t, "deployment/serin-controller in serin-system configured")
}

func TestNewerDefinitionsAreNotReplaced(t *testing.T) {
	installed(t)
	serin(t, "install", "--version", "v1.3.9").ends(t, 4).says(t, "is of serin v1.4.0, which is newer than v1.3.9", "use serin v1.4.0 or newer")
	if v := kubectl(t, "-n", install.Namespace, "get", "deployment", install.Controller, "-o", "jsonpath={.spec.template.spec.containers[0].image}"); !strings.HasSuffix(v, ":"+version) {
		t.Errorf("the controller was replaced by %s all the same", v)
	}
}

func TestWhatIsNotPermittedIsNamed(t *testing.T) {
	serinWith(t, as(t, "nobody"), "install", "--version", version).ends(t, 4).says(t, `User "nobody" cannot`, "ask for the permission")
}

func TestAClusterThatIsNotThere(t *testing.T) {
	serinWith(t, "/nonexistent", "install", "--version", version).ends(t, 4).says(t, "--context")
	serin(t, "install", "--version", version, "--context", "elsewhere").ends(t, 4).says(t, "elsewhere")
	serin(t, "install").ends(t, 4).says(t, "--image")
	serin(t, "install", "--version", version, "--part", "some").ends(t, 4).says(t, "--part")
	serin(t, "install", "--version", version, "--part", "namespace").ends(t, 4).says(t, "--namespaces")
}

func TestAnAPIServerThatDoesNotAnswer(t *testing.T) {
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://127.0.0.1:1"
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	serinWith(t, path, "install", "--version", version).ends(t, 5).says(t, "cannot be reached", "127.0.0.1:1")
	serinWith(t, path, "uninstall").ends(t, 5)
	serinWith(t, path, "doctor", "--cluster").ends(t, 5).says(t, "API server")
	// What would be applied can be seen all the same.
	if out := serinWith(t, path, "install", "--version", version, "--dry-run", "-o", "yaml").ends(t, 0).out; !strings.Contains(out, "kind: Deployment") {
		t.Errorf("no Deployment is printed:\n%s", out)
	}
}

// A controller that does not get ready is told of with what keeps it.
func TestWaitingEnds(t *testing.T) {
	installed(t)
	kubectl(t, "-n", install.Namespace, "create", "quota", "none", "--hard=pods=0")
	defer kubectl(t, "-n", install.Namespace, "delete", "quota", "none")
	serin(t, "install", "--version", version, "--image", "registry.example/serin:other", "--timeout", "5s").ends(t, 5).says(t, "the controller is not ready", "exceeded quota")
}
