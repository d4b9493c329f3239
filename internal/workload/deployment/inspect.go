package deployment

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

// Situation is what a Deployment asks for, beside what serves.
type Situation struct {
	// Stable is the revision that serves; empty when none ever did.
	Stable serinv1.Revision
	// Canary is the revision that the template asks for. It is Stable when that
	// is what serves, also after a revert.
	Canary serinv1.Revision
	// Replicas is how many pods the Deployment asks for.
	Replicas int
	// Held: the Deployment is paused by Serin or its policy.
	Held bool
	// PausedBy names who paused the Deployment, when it was a person or a tool:
	// that is left alone.
	PausedBy string
	// ChangedBy names the field manager that last wrote the template.
	ChangedBy string
	// Rollout is the label's value: who holds this Deployment.
	Rollout string
	// Why says why no run can begin although the Deployment is there, and Do
	// what to do about it.
	Why, Do string
}

// Changed reports that the template asks for something else than what serves.
func (s Situation) Changed() bool { return s.Canary.Hash != s.Stable.Hash }

// Judge says how a Deployment is, from it and the ReplicaSets of its namespace.
// Those that it does not control do not count.
func Judge(d *appsv1.Deployment, sets []appsv1.ReplicaSet) (Situation, error) {
	hash, err := kube.TemplateHash(d.Spec.Template)
	if err != nil {
		return Situation{}, err
	}
	s := Situation{
		Rollout:  d.Labels[serinv1.RolloutLabel],
		Replicas: int(replicas(d)),
		PausedBy: pausedBy(d), ChangedBy: lastManager(d, "f:spec", "f:template"),
		Canary: serinv1.Revision{Version: version(d.Spec.Template, hash), Hash: hash, ReplicaSet: setName(d.Name, hash)},
	}
	s.Held = d.Spec.Paused && s.PausedBy == ""
	owned := ownedBy(d, sets)
	stable, why, do := serving(d, owned)
	s.Why, s.Do = why, do
	switch {
	case d.DeletionTimestamp != nil:
		s.Why, s.Do = "it is being deleted", "create it again to go on"
	case s.Why == "" && replicas(d) == 0 && (stable == nil || !kube.SameTemplate(stable.Spec.Template, d.Spec.Template)):
		s.Why = "it is scaled to 0 and nothing serves that a new version could be compared with"
		s.Do = "scale it up; the run begins then"
	}
	if stable == nil {
		// The first version ever is nobody's canary.
		s.Stable = s.Canary
		return s, nil
	}
	s.Stable = serinv1.Revision{Hash: stable.Labels[serinv1.HashLabel], ReplicaSet: stable.Name}
	if kube.SameTemplate(stable.Spec.Template, d.Spec.Template) {
		s.Stable.Version = version(stable.Spec.Template, s.Stable.Hash)
		s.Canary = s.Stable
		return s, nil
	}
	s.Stable.Version, s.Canary.Version = versions(stable.Spec.Template, d.Spec.Template, s.Stable.Hash, hash)
	if s.Canary.Hash == s.Stable.Hash {
		return s, fmt.Errorf("two templates of Deployment %s have the hash %s; change anything in the new one", d.Name, hash)
	}
	return s, nil
}

// serving returns the ReplicaSet that serves, and why no run can begin.
func serving(d *appsv1.Deployment, owned []*appsv1.ReplicaSet) (stable *appsv1.ReplicaSet, why, do string) {
	var active, others []*appsv1.ReplicaSet
	var asked *appsv1.ReplicaSet
	for _, s := range owned {
		same := kube.SameTemplate(s.Spec.Template, d.Spec.Template)
		if same && (asked == nil || setReplicas(s) > setReplicas(asked)) {
			asked = s
		}
		if setReplicas(s) > 0 {
			active = append(active, s)
			if !same {
				others = append(others, s)
			}
		}
	}
	switch {
	case len(active) == 0 && asked != nil && replicas(d) == 0:
		return asked, "", ""
	case len(active) == 0 && len(owned) == 0:
		return nil, "", ""
	case len(active) == 0:
		return owned[len(owned)-1], "", ""
	case len(active) == 1:
		return active[0], "", ""
	case !d.Spec.Paused:
		return newest(others, asked), "the Deployment controller is rolling it out itself", "wait until kubectl rollout status says that it is complete"
	}
	// Paused with two versions running: the hold came when the Deployment
	// controller had begun.
	if asked == nil || setReplicas(asked) == 0 {
		return newest(others, nil), "it was held in the middle of a rollout of the Deployment controller's own, so two older versions are running",
			"put the template of the one to keep back and let it finish, then change it again"
	}
	older := newest(others, asked)
	if asked.Status.AvailableReplicas >= older.Status.AvailableReplicas {
		// Going back would take away most of what serves.
		return asked, "", ""
	}
	return older, "", ""
}

// newest is the last of sets, which are in the order of their revisions.
func newest(sets []*appsv1.ReplicaSet, otherwise *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if len(sets) == 0 {
		return otherwise
	}
	return sets[len(sets)-1]
}

// revisionAnnotation is where the Deployment controller counts revisions.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// ownedBy returns the ReplicaSets that the Deployment controls, the oldest
// revision first.
func ownedBy(d *appsv1.Deployment, sets []appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var owned []*appsv1.ReplicaSet
	for i := range sets {
		if controlledBy(&sets[i], d.UID) && sets[i].DeletionTimestamp == nil {
			owned = append(owned, &sets[i])
		}
	}
	revision := func(s *appsv1.ReplicaSet) int64 {
		n, _ := strconv.ParseInt(s.Annotations[revisionAnnotation], 10, 64) // none counts as the oldest
		return n
	}
	slices.SortFunc(owned, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revision(a), revision(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return owned
}

// replicas is how many pods the user, or an autoscaler, asks for.
func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func setReplicas(s *appsv1.ReplicaSet) int32 {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

// pausedBy names who asked for the Deployment to be paused, other than Serin.
// What the policy sets has no manager at all.
func pausedBy(d *appsv1.Deployment) string {
	if !d.Spec.Paused {
		return ""
	}
	return lastManager(d, "f:spec", "f:paused")
}

// lastManager names the field manager, other than Serin, that was the last to
// write the field at path.
func lastManager(o metav1.Object, path ...string) string {
	name := ""
	var at metav1.Time
	for _, m := range o.GetManagedFields() {
		if m.Manager == serinv1.FieldManager || m.Subresource != "" || m.FieldsV1 == nil || !hasField(m.FieldsV1.GetRawBytes(), path) {
			continue
		}
		if name == "" || m.Time != nil && at.Time.Before(m.Time.Time) {
			name = m.Manager
			if m.Time != nil {
				at = *m.Time
			}
		}
	}
	return name
}

func hasField(fields []byte, path []string) bool {
	for _, step := range path {
		var level map[string]json.RawMessage
		if json.Unmarshal(fields, &level) != nil {
			return false
		}
		next, ok := level[step]
		if !ok {
			return false
		}
		fields = next
	}
	return true
}
