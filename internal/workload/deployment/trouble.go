package deployment

import (
	"cmp"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// trouble is what is wrong with pods: what waiting may mend, and what it will
// not.
type trouble struct {
	failed, detail string
}

// crashes is how often a container must have ended by itself to be in a loop.
const crashes = 2

// podTrouble says what is wrong with one pod; nothing when it is going away.
func podTrouble(p *corev1.Pod) trouble {
	if p.DeletionTimestamp != nil || podReady(p) {
		return trouble{}
	}
	var t trouble
	for _, c := range containerStatuses(p) {
		found := containerTrouble(c)
		t.failed = cmp.Or(t.failed, found.failed)
		t.detail = cmp.Or(t.detail, found.detail)
	}
	if t.failed != "" {
		t.failed = "pod " + p.Name + ": " + t.failed
		t.detail = t.failed
		return t
	}
	if t.detail == "" {
		t.detail = conditionTrouble(p)
	}
	t.detail = "pod " + p.Name + ": " + t.detail
	return t
}

func containerStatuses(p *corev1.Pod) []corev1.ContainerStatus {
	return append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
}

func containerTrouble(c corev1.ContainerStatus) trouble {
	waiting := c.State.Waiting
	reason := ""
	if waiting != nil {
		reason = waiting.Reason
	}
	switch reason {
	case "CrashLoopBackOff":
		return trouble{failed: ends(c)}
	case "InvalidImageName":
		return trouble{failed: fmt.Sprintf("container %s has an image name that cannot be read, %q", c.Name, c.Image)}
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError":
		return trouble{detail: fmt.Sprintf("container %s cannot get its image %s%s", c.Name, c.Image, because(waiting.Message))}
	case "", "ContainerCreating", "PodInitializing":
	default:
		return trouble{detail: fmt.Sprintf("container %s cannot start: %s%s", c.Name, reason, because(waiting.Message))}
	}
	if !c.Ready && c.RestartCount >= crashes {
		return trouble{failed: ends(c)}
	}
	if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 || c.RestartCount > 0 && !c.Ready {
		return trouble{detail: ends(c)}
	}
	return trouble{}
}

// ends says how a container ended.
func ends(c corev1.ContainerStatus) string {
	last := c.State.Terminated
	if last == nil {
		last = c.LastTerminationState.Terminated
	}
	how := ""
	if last != nil {
		how = fmt.Sprintf(", the last time with status %d", last.ExitCode)
		if last.Reason != "" && last.Reason != "Error" {
			how += " (" + last.Reason + ")"
		}
		how += because(last.Message)
	}
	if c.RestartCount == 0 {
		return fmt.Sprintf("container %s ended%s", c.Name, strings.Replace(how, ", the last time", "", 1))
	}
	return fmt.Sprintf("container %s keeps ending, restarted %d times%s", c.Name, c.RestartCount, how)
}

// conditionTrouble says why a pod whose containers tell of nothing is not
// ready.
func conditionTrouble(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodFailed {
		return "it failed: " + cmp.Or(p.Status.Reason, "no reason given") + because(p.Status.Message)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady} {
		for _, c := range p.Status.Conditions {
			if c.Type == kind && c.Status != corev1.ConditionTrue {
				what := "not ready"
				if kind == corev1.PodScheduled {
					what = "it has no node to run on"
				}
				return what + because(cmp.Or(c.Message, c.Reason))
			}
		}
	}
	return "not ready"
}

// restartsOf is how often a pod's containers ended by themselves.
func restartsOf(p *corev1.Pod) int {
	n := 0
	for _, c := range containerStatuses(p) {
		n += int(c.RestartCount)
	}
	return n
}

func podReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// refusal is why the API server does not take something. It is final when
// waiting will not change that.
type refusal struct {
	message string
	final   bool
}

func refusalOf(err error) refusal {
	if err == nil {
		return refusal{}
	}
	message := err.Error()
	return refusal{message: message, final: apierrors.IsInvalid(err) || isFinal(message) && (apierrors.IsForbidden(err) || apierrors.IsBadRequest(err))}
}

// setTrouble says why a ReplicaSet cannot make its pods.
func setTrouble(s *appsv1.ReplicaSet) trouble {
	if s == nil {
		return trouble{}
	}
	for _, c := range s.Status.Conditions {
		if c.Type != appsv1.ReplicaSetReplicaFailure || c.Status != corev1.ConditionTrue || c.Reason != "FailedCreate" {
			continue
		}
		message := "no pod can be created: " + c.Message
		if isFinal(c.Message) {
			return trouble{failed: message, detail: message}
		}
		return trouble{detail: message}
	}
	return trouble{}
}

// finalWords mark refusals of the template itself. A quota, a webhook that does
// not answer or an object that is not there yet may be mended meanwhile.
var finalWords = []string{
	"is invalid:",              // the API server's validation
	"violates PodSecurity",     // the namespace's security level
	"denied the request",       // a webhook that answered no
	"denied request:",          // an admission policy
	" usage per ",              // a limit range: maximum or minimum usage per container or pod
	"max limit to request rat", // a limit range's ratio
}

func isFinal(message string) bool {
	if strings.Contains(message, "exceeded quota") {
		return false
	}
	for _, words := range finalWords {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

func because(message string) string {
	if message = strings.TrimSpace(message); message == "" {
		return ""
	}
	return ": " + message
}
