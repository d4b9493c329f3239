package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// register makes the node known. EndpointSlices hold only pods of nodes that
// exist.
func (k *Kubelet) register(ctx context.Context) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse(strconv.Itoa(k.addresses.size())),
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.options.Name, Labels: k.labels()}}
	nodes := k.client.CoreV1().Nodes()
	if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register the node %s: %w", node.Name, err)
	}
	now := metav1.Now()
	status := corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: k.options.Address}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(k.server.port)}},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "the test kubelet is running",
			LastHeartbeatTime: now, LastTransitionTime: now,
		}},
	}
	// Controllers write to a new node too, so each change is a patch.
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	if _, err := nodes.Patch(ctx, node.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("report the state of the node %s: %w", node.Name, err)
	}
	// A new node is tainted as not ready until a controller sees that it is;
	// that controller is off, for the node sends no heartbeats.
	if _, err := nodes.Patch(ctx, node.Name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("take the taint off the node %s: %w", node.Name, err)
	}
	return nil
}

func (k *Kubelet) labels() map[string]string {
	return map[string]string{"kubernetes.io/hostname": k.options.Name, "kubernetes.io/os": "linux"}
}

// schedule gives a pod to this node, or says that no node fits it.
func (k *Kubelet) schedule(ctx context.Context, p *corev1.Pod) error {
	labels := k.labels()
	for key, value := range maps.All(p.Spec.NodeSelector) {
		if labels[key] != value {
			return k.unschedulable(ctx, p, fmt.Sprintf("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector (%s=%s).", key, value))
		}
	}
	err := k.client.CoreV1().Pods(p.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: k.options.Name},
	}, metav1.CreateOptions{})
	if err != nil && strings.Contains(err.Error(), "already assigned to node") {
		return nil
	}
	return err
}

func (k *Kubelet) unschedulable(ctx context.Context, p *corev1.Pod, why string) error {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return nil
		}
	}
	return k.patchStatus(ctx, p, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: why,
		LastTransitionTime: metav1.Now(),
	}}})
}
