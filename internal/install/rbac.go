package install

import (
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// The roles for people: who looks, who writes rollouts, who acts on runs.
const (
	ViewRole    = "serin-view"
	OperateRole = "serin-operate"
	EditRole    = "serin-edit"
)

// leaseName is the object by which the replicas agree.
const leaseName = "serin.dev"

// leaderRules let the replicas of the controller agree on who works, in the
// controller's own namespace.
func leaderRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		// The name of an object to be created cannot be limited.
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{leaseName}, Verbs: []string{"get", "update", "patch"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}
}

// permissions merges rules into one rule a resource, in a fixed order.
func permissions(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	type key struct{ group, resource, names string }
	verbs := map[key]map[string]bool{}
	for _, r := range rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				k := key{group, resource, strings.Join(r.ResourceNames, ",")}
				if verbs[k] == nil {
					verbs[k] = map[string]bool{}
				}
				for _, v := range r.Verbs {
					verbs[k][v] = true
				}
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(verbs), func(a, b key) int {
		return strings.Compare(a.group+"\x00"+a.resource+"\x00"+a.names, b.group+"\x00"+b.resource+"\x00"+b.names)
	})
	var merged []rbacv1.PolicyRule
	for _, k := range keys {
		rule := rbacv1.PolicyRule{APIGroups: []string{k.group}, Resources: []string{k.resource}, Verbs: slices.SortedFunc(maps.Keys(verbs[k]), byVerb)}
		if k.names != "" {
			rule.ResourceNames = strings.Split(k.names, ",")
		}
		merged = append(merged, rule)
	}
	return merged
}

// verbOrder is how people read verbs: from looking to removing.
var verbOrder = []string{"get", "list", "watch", "create", "update", "patch", "delete"}

func byVerb(a, b string) int {
	if x, y := slices.Index(verbOrder, a), slices.Index(verbOrder, b); x != y {
		return x - y
	}
	return strings.Compare(a, b)
}

// userRules are what a role for people allows.
func userRules(role string) []rbacv1.PolicyRule {
	group := []string{serinv1.GroupVersion.Group}
	switch role {
	case ViewRole:
		return []rbacv1.PolicyRule{{APIGroups: group, Resources: []string{"canaryrollouts", "canaryruns", "canaryrecords"}, Verbs: []string{"get", "list", "watch"}}}
	case OperateRole:
		// Intents are fields of a run's spec; the rest of the spec cannot change.
		return []rbacv1.PolicyRule{{APIGroups: group, Resources: []string{"canaryruns"}, Verbs: []string{"get", "list", "watch", "patch", "update"}}}
	case EditRole:
		return []rbacv1.PolicyRule{{APIGroups: group, Resources: []string{"canaryrollouts"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"}}}
	}
	return nil
}

// aggregated says into which of the cluster's own roles a role for people goes.
// Who may edit a Deployment may release and roll back anyway, so edit holds all.
var aggregated = map[string][]string{
	ViewRole:    {"view", "edit", "admin"},
	OperateRole: {"edit", "admin"},
	EditRole:    {"edit", "admin"},
}

var userRoles = []string{ViewRole, OperateRole, EditRole}

// clusterRoles are the permissions of an installation for all namespaces.
func (o Options) clusterRoles() []client.Object {
	all := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: o.meta("", Controller), Rules: permissions(o.Rules)},
		o.clusterBinding(),
	}
	for _, role := range userRoles {
		meta := o.meta("", role)
		for _, into := range aggregated[role] {
			meta.Labels["rbac.authorization.k8s.io/aggregate-to-"+into] = "true"
		}
		all = append(all, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: permissions(userRules(role))})
	}
	return all
}

func (o Options) clusterBinding() client.Object {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: o.meta("", Controller), RoleRef: roleRef("ClusterRole", Controller), Subjects: o.subjects()}
}

// rolesIn are the permissions of an installation for one of some namespaces.
func (o Options) rolesIn(namespace string) []client.Object {
	all := []client.Object{
		&rbacv1.Role{ObjectMeta: o.meta(namespace, Controller), Rules: permissions(o.Rules)},
		&rbacv1.RoleBinding{ObjectMeta: o.meta(namespace, Controller), RoleRef: roleRef("Role", Controller), Subjects: o.subjects()},
	}
	for _, role := range userRoles {
		all = append(all, &rbacv1.Role{ObjectMeta: o.meta(namespace, role), Rules: permissions(userRules(role))})
	}
	return all
}

// leaderRoles are the permissions in the controller's own namespace.
func (o Options) leaderRoles() []client.Object {
	const name = Controller + "-leader"
	return []client.Object{
		&rbacv1.Role{ObjectMeta: o.meta(o.Namespace, name), Rules: leaderRules()},
		&rbacv1.RoleBinding{ObjectMeta: o.meta(o.Namespace, name), RoleRef: roleRef("Role", name), Subjects: o.subjects()},
	}
}

// ServiceAccountUser is the name by which the API server knows the controller.
func ServiceAccountUser(namespace string) string {
	return "system:serviceaccount:" + namespace + ":" + Controller
}

func (o Options) subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: o.Namespace, Name: Controller}}
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

// meta is the metadata of every object of the installation.
func (o Options) meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: o.labels()}
}

func (o Options) labels() map[string]string {
	return map[string]string{nameLabel: Controller, partOfLabel: partOf, versionLabel: labelValue(o.Version)}
}

// labelValue makes a version fit for a label.
func labelValue(version string) string {
	return strings.ReplaceAll(version, "+", "_")
}
