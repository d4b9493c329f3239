package deployment

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

// runOwner is the reference by which a CanaryRun owns a ReplicaSet: it goes
// when the run is deleted.
func runOwner(r Run) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: serinv1.GroupVersion.String(), Kind: runKind, Name: r.Name, UID: r.UID,
		Controller: new(true), BlockOwnerDeletion: new(false),
	}
}

// deploymentOwner is the reference that the Deployment controller writes.
func deploymentOwner(d *appsv1.Deployment) metav1.OwnerReference {
	return *metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))
}

const runKind = "CanaryRun"

func controlledBy(o metav1.Object, uid types.UID) bool {
	c := metav1.GetControllerOfNoCopy(o)
	return c != nil && uid != "" && c.UID == uid
}

// ofSomeRun reports whether a CanaryRun, whichever, controls an object.
func ofSomeRun(o metav1.Object) bool {
	c := metav1.GetControllerOfNoCopy(o)
	return c != nil && c.Kind == runKind && c.APIVersion == serinv1.GroupVersion.String()
}

// handOver returns the operations that make owner the controller of an object.
// Other owners stay.
func handOver(o metav1.Object, owner metav1.OwnerReference) []kube.Op {
	owners := []metav1.OwnerReference{owner}
	for _, r := range o.GetOwnerReferences() {
		if (r.Controller == nil || !*r.Controller) && r.UID != owner.UID {
			owners = append(owners, r)
		}
	}
	return []kube.Op{{Op: "add", Path: "/metadata/ownerReferences", Value: owners}}
}
