package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report is what the node knows of a pod.
type report struct {
	podIP, hostIP string
	started       metav1.Time
	containers    []corev1.ContainerStatus
}

// status says the report in the API's terms. A condition's time changes with
// its status only.
func (r report) status(p *corev1.Pod) corev1.PodStatus {
	ready := condition(corev1.ContainersReady, r.unready(), "ContainersNotReady")
	pod := condition(corev1.PodReady, r.unready(), "ContainersNotReady")
	if pod.Status == corev1.ConditionTrue {
		pod = condition(corev1.PodReady, closedGates(p), "ReadinessGatesNotReady")
	}
	conditions := []corev1.PodCondition{condition(corev1.PodInitialized, "", ""), ready, pod}
	for i := range conditions {
		c := &conditions[i]
		c.LastTransitionTime = metav1.Now().Rfc3339Copy()
		for _, old := range p.Status.Conditions {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	started := r.started.Rfc3339Copy()
	return corev1.PodStatus{
		Phase: r.phase(p), Conditions: conditions, HostIP: r.hostIP, PodIP: r.podIP, PodIPs: []corev1.PodIP{{IP: r.podIP}},
		HostIPs: []corev1.HostIP{{IP: r.hostIP}}, StartTime: &started, ContainerStatuses: r.containers,
	}
}

// condition is true when there is nothing against it.
func condition(kind corev1.PodConditionType, against, reason string) corev1.PodCondition {
	if against == "" {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: against}
}

// unready names the containers that are not ready; empty when all are.
func (r report) unready() string {
	var names []string
	for _, c := range r.containers {
		if !c.Ready {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("containers with unready status: [%s]", strings.Join(names, " "))
}

// closedGates names the readiness gates of the pod that nobody has opened.
func closedGates(p *corev1.Pod) string {
	var closed []string
	for _, gate := range p.Spec.ReadinessGates {
		open := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !open {
			closed = append(closed, fmt.Sprintf("the status of pod readiness gate %q is not \"True\"", gate.ConditionType))
		}
	}
	return strings.Join(closed, ", ")
}

func (r report) phase(p *corev1.Pod) corev1.PodPhase {
	var never, live, failed int
	for _, c := range r.containers {
		switch {
		case c.State.Terminated != nil && p.Spec.RestartPolicy != corev1.RestartPolicyAlways:
			if c.State.Terminated.ExitCode != 0 {
				if p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
					live++ // it will be started again
				} else {
					failed++
				}
			}
		case c.State.Waiting != nil && c.LastTerminationState.Terminated == nil:
			never++
		default:
			live++
		}
	}
	switch {
	case never > 0:
		return corev1.PodPending
	case live > 0:
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// patchStatus writes a status, leaving what others have written beside it. It
// fails with a conflict when the name belongs to another pod by now.
func (k *Kubelet) patchStatus(ctx context.Context, p *corev1.Pod, s corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": s})
	if err != nil {
		return err
	}
	_, err = k.client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// imageID is a digest of the image's name: two names are two images.
func imageID(image string) string {
	sum := sha256.Sum256([]byte(image))
	name, _, _ := strings.Cut(image, "@")
	return name + "@sha256:" + hex.EncodeToString(sum[:])
}
