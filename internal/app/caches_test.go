package app

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is left of an object in a cache still tells who wrote what Serin asks
// about, and still has annotations where the API server's object has.
func TestWhatACacheKeepsOfAnObject(t *testing.T) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate},
			{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status"},
		},
	}}
	if _, err := lean(s); err != nil {
		t.Fatal(err)
	}
	if len(s.ManagedFields) != 1 || s.ManagedFields[0].Manager != "kubectl" {
		t.Errorf("who wrote what: %+v", s.ManagedFields)
	}
	if s.Annotations == nil || len(s.Annotations) != 0 {
		t.Errorf("annotations: %#v", s.Annotations)
	}
}
