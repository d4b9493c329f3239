package kube

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAPatchOfAnObjectThatChangedIsTriedAnew(t *testing.T) {
	sets := schema.GroupResource{Group: "apps", Resource: "replicasets"}
	// What an API server answers when a JSON patch's test fails.
	tested := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid,
		Message: "the server rejected our request due to an error in our request", Details: &metav1.StatusDetails{},
	}}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a conflict":              {apierrors.NewConflict(sets, "shop", errors.New("modified")), true},
		"a test that failed":      {fmt.Errorf("patch: %w", tested), true},
		"an object that is wrong": {apierrors.NewInvalid(schema.GroupKind{Kind: "ReplicaSet"}, "shop", field.ErrorList{field.Required(field.NewPath("spec"), "")}), false},
		"not allowed":             {apierrors.NewForbidden(sets, "shop", nil), false},
		"not there":               {apierrors.NewNotFound(sets, "shop"), false},
		"something else":          {errors.New("connection refused"), false},
	} {
		if got := overtaken(c.err); got != c.want {
			t.Errorf("%s: tried anew %v, want %v", name, got, c.want)
		}
	}
}
