package kube

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// TemplateHash returns a short name for a pod template, fit for a label's value
// and an object's name. Equal templates have equal hashes; a pod-template-hash
// label in the template itself does not count.
//
// The Deployment controller takes a ReplicaSet for its own by its template and
// not by its name, so the hash need not be the one it would have chosen.
func TemplateHash(template corev1.PodTemplateSpec) (string, error) {
	data, err := json.Marshal(withoutHash(template))
	if err != nil {
		return "", fmt.Errorf("write the pod template: %w", err)
	}
	sum := sha256.Sum256(data)
	return rand.SafeEncodeString(fmt.Sprintf("%x", sum[:5])), nil
}

// SameTemplate reports whether two templates are the same but for their
// pod-template-hash, which is how the Deployment controller compares them.
func SameTemplate(a, b corev1.PodTemplateSpec) bool {
	x, errX := json.Marshal(withoutHash(a))
	y, errY := json.Marshal(withoutHash(b))
	return errX == nil && errY == nil && string(x) == string(y)
}

func withoutHash(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	t = *t.DeepCopy()
	delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	if len(t.Labels) == 0 {
		t.Labels = nil
	}
	return t
}
