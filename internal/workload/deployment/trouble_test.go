package deployment

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func podOf(ready corev1.ConditionStatus, c corev1.ContainerStatus) *corev1.Pod {
	c.Name = "shop"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-a-b"},
		Status: corev1.PodStatus{
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, Message: "containers with unready status: [shop]"}},
			ContainerStatuses: []corev1.ContainerStatus{c},
		},
	}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func TestWhatIsWrongWithAPod(t *testing.T) {
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}}
	going := podOf(corev1.ConditionFalse, corev1.ContainerStatus{State: waiting("CrashLoopBackOff", "")})
	going.DeletionTimestamp = new(metav1.Now())
	homeless := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-a-b"}, Status: corev1.PodStatus{
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"}},
	}}
	evicted := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-a-b"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"}}
	for name, c := range map[string]struct {
		pod            *corev1.Pod
		failed, detail string
	}{
		"ready":                   {pod: podOf(corev1.ConditionTrue, corev1.ContainerStatus{Ready: true})},
		"ready after two crashes": {pod: podOf(corev1.ConditionTrue, corev1.ContainerStatus{Ready: true, RestartCount: 2})},
		"going":                   {pod: going},
		"starting":                {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{State: waiting("ContainerCreating", "")}), detail: "pod shop-a-b: not ready: containers with unready"},
		"ended once":              {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{State: ended}), detail: "container shop ended with status 3"},
		"restarted once":          {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{RestartCount: 1, LastTerminationState: ended}), detail: "restarted 1 times, the last time with status 3"},
		"restarted twice":         {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{RestartCount: 2, LastTerminationState: ended}), failed: "restarted 2 times"},
		"crash loop":              {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{RestartCount: 1, State: waiting("CrashLoopBackOff", "back-off"), LastTerminationState: ended}), failed: "keeps ending"},
		"image pull":              {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{Image: "shop:v9", State: waiting("ImagePullBackOff", "not found")}), detail: "cannot get its image shop:v9: not found"},
		"image name":              {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{Image: "Shop:", State: waiting("InvalidImageName", "")}), failed: "cannot be read"},
		"configuration missing":   {pod: podOf(corev1.ConditionFalse, corev1.ContainerStatus{State: waiting("CreateContainerConfigError", `secret "x" not found`)}), detail: `cannot start: CreateContainerConfigError: secret "x" not found`},
		"no node":                 {pod: homeless, detail: "no node to run on: 0/3"},
		"evicted":                 {pod: evicted, detail: "Evicted: low on memory"},
	} {
		t.Run(name, func(t *testing.T) {
			got := podTrouble(c.pod)
			if c.failed != "" {
				c.detail = c.failed
			}
			if (got.failed == "") != (c.failed == "") || !strings.Contains(got.failed, c.failed) {
				t.Errorf("failed %q, want %q", got.failed, c.failed)
			}
			if (got.detail == "") != (c.detail == "") || !strings.Contains(got.detail, c.detail) {
				t.Errorf("detail %q, want %q", got.detail, c.detail)
			}
		})
	}
}

func TestWhatWaitingMendsIsNotFinal(t *testing.T) {
	for message, final := range map[string]bool{
		`pods "shop-a-b" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=4, limited: pods=4`:                               false,
		`pods "shop-a-b" is forbidden: violates PodSecurity "restricted:latest": privileged`:                                                 true,
		`Pod "shop-a-b" is invalid: spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`: true,
		`pods "shop-a-b" is forbidden: maximum cpu usage per Container is 1, but limit is 2`:                                                 true,
		`admission webhook "images.example" denied the request: unsigned`:                                                                    true,
		`Internal error occurred: failed calling webhook "images.example": connection refused`:                                               false,
		`pods "shop-a-b" is forbidden: error looking up service account default/shop: serviceaccount "shop" not found`:                       false,
	} {
		s := &appsv1.ReplicaSet{Status: appsv1.ReplicaSetStatus{Conditions: []appsv1.ReplicaSetCondition{{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message,
		}}}}
		got := setTrouble(s)
		if (got.failed != "") != final || !strings.Contains(got.detail, message) {
			t.Errorf("%s: failed %q, detail %q; want final %v", message, got.failed, got.detail, final)
		}
	}
	sets := schema.GroupResource{Group: "apps", Resource: "replicasets"}
	if r := refusalOf(apierrors.NewForbidden(sets, "shop-a", nil)); r.final || r.message == "" {
		t.Errorf("a missing right is %+v, want a message and not final", r)
	}
	if r := refusalOf(apierrors.NewInvalid(schema.GroupKind{Kind: "ReplicaSet"}, "shop-a", nil)); !r.final {
		t.Errorf("an invalid ReplicaSet is %+v, want final", r)
	}
}
