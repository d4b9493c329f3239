//go:build plane

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// person writes a kubeconfig of somebody who may do in the shop's namespace what one
// of the cluster's own roles allows, view or edit, and nothing else.
func (s *shop) person(role string) string {
	s.t.Helper()
	ctx, c := s.t.Context(), admin(s.t)
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "person-who-may-" + role}
	if err := c.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}); err != nil {
		s.t.Fatal(err)
	}
	_, err := cluster.Client.RbacV1().RoleBindings(s.namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: meta.Name}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	// The cluster adds what Serin's roles allow to its own a moment after these were
	// installed.
	eventually(s.t, limit, func() error {
		out, err := cluster.Kubectl(ctx, "auth", "can-i", "get", "canaryrecords", "-n", s.namespace, "--as", "system:serviceaccount:"+s.namespace+":"+meta.Name)
		if err != nil || strings.TrimSpace(out) != "yes" {
			return fmt.Errorf("who may %s may not read Serin's records: %s %w", role, out, err)
		}
		return nil
	})
	as, err := cluster.ServiceAccount(ctx, s.namespace, meta.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "kubeconfig")
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"plane": {Server: as.Host, CertificateAuthorityData: as.CAData, CertificateAuthority: as.CAFile}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"person": {Token: as.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"shop": {Cluster: "plane", AuthInfo: "person", Namespace: s.namespace}},
		CurrentContext: "shop",
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// seen runs the program with a kubeconfig and returns what it prints.
func (s *shop) seen(kubeconfig string, args ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), program, append(args, "--kubeconfig", kubeconfig, "--context", "shop")...).Output()
	if err != nil {
		s.t.Errorf("serin %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// A version that crashes leaves a report that says why, to whoever may look, and
// a record that decides the same again.
func TestWhoMayLookCanReadWhyAVersionWentBack(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	viewer := s.person("view")
	users := send(t, s.host, 20)
	s.change("v2", "-crash=3s")
	run := s.rolledBack(1, "keeps ending")
	users.stop()

	told := s.seen(viewer, "report", "shop")
	cause := strings.Index(told, "\n## ")
	if cause < 0 || !strings.HasPrefix(told[cause:], "\n## Suspected cause\n") {
		t.Errorf("the report does not open with the suspected cause:\n%.2000s", told)
	}
	for _, part := range []string{
		"keeps ending", "ended with status 2", // what the pods' containers did
		"panic: this version does not work", // what they wrote
		"containers", ".args", "-crash=3s",  // what changed
		"SuccessfulCreate", // what the cluster tells of it
		"Remediation checklist", "sample:v2",
	} {
		if !strings.Contains(told, part) {
			t.Errorf("the report does not say %q", part)
		}
	}
	if t.Failed() {
		t.Log(told)
	}
	if logs := s.seen(viewer, "logs", "shop", "--run", "1"); !strings.Contains(logs, "panic: this version does not work") {
		t.Errorf("the logs of the run are %q", logs)
	}
	if history := s.seen(viewer, "history", "shop"); !strings.Contains(history, run.Status.Reason) {
		t.Errorf("the history does not say why:\n%s", history)
	}

	file := filepath.Join(t.TempDir(), "run.jsonl")
	if err := os.WriteFile(file, []byte(s.seen(viewer, "report", "shop", "-o", "record")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "replay", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "all the same") {
		t.Errorf("serin replay: %v: %s", err, out)
	}
}
