package deployment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Observe implements workload.Workload.
func (w *Workload) Observe(ctx context.Context) (workload.Status, error) {
	d, err := w.deployment(ctx)
	if err != nil && !errors.Is(err, ErrMissing) {
		return workload.Status{}, err
	}
	stable, err := w.set(ctx, w.run.Stable.ReplicaSet)
	if err != nil {
		return workload.Status{}, err
	}
	canary, err := w.set(ctx, w.run.Canary.ReplicaSet)
	if err != nil {
		return workload.Status{}, err
	}
	if d != nil && stable == nil && w.env.Live != nil {
		// The cache may hear of the ReplicaSet's end before the Deployment's.
		key := client.ObjectKeyFromObject(d)
		if err := w.env.Live.Get(ctx, key, &appsv1.Deployment{}); apierrors.IsNotFound(err) {
			d = nil
		}
	}
	pods := map[string][]corev1.Pod{}
	for _, r := range []serinv1.Revision{w.run.Stable, w.run.Canary} {
		if pods[r.Hash], err = w.pods(ctx, r); err != nil {
			return workload.Status{}, err
		}
	}
	n := sizeOf(d, stable)
	st := workload.Status{
		Stable: w.group(w.run.Stable, pods[w.run.Stable.Hash], stable),
		Canary: w.group(w.run.Canary, pods[w.run.Canary.Hash], canary),
	}
	st.Stable.Capacity = capacityOf(n, int32(st.Stable.Ready()))
	w.mu.Lock()
	percent := w.want.Canary
	w.mu.Unlock()
	st.Canary.Capacity = w.capacity(&w.enough, n, int32(st.Canary.Ready()), percent, w.run.PodRatio)
	st.Baseline = w.observeBaseline(ctx, n)
	w.judge(&st, d, stable, canary)
	if d != nil {
		sets, err := w.sets(ctx, d)
		if err != nil {
			return st, err
		}
		if s := w.released(d, sets); s != nil && st.Canary.Failed == "" {
			st.Canary.Failed = fmt.Sprintf("the Deployment was released past Serin, and the ReplicaSet %s, which nobody tested, has replaced most of %s", s.Name, w.run.Stable.Version)
		}
	}
	return st, nil
}

// judge fills in what concerns the run as a whole.
func (w *Workload) judge(st *workload.Status, d *appsv1.Deployment, stable, canary *appsv1.ReplicaSet) {
	w.mu.Lock()
	refused, promoted := w.refused, w.want.Promoted
	w.mu.Unlock()
	if canary == nil && refused.message != "" {
		st.Canary.Detail = "its ReplicaSet is not accepted: " + refused.message
		if refused.final {
			st.Canary.Failed = st.Canary.Detail
		}
	}
	if replicas := d != nil && d.Spec.Replicas != nil && *d.Spec.Replicas == 0; replicas && st.Canary.Detail == "" {
		st.Canary.Detail = "the Deployment is scaled to 0"
	}
	switch {
	case d == nil || d.DeletionTimestamp != nil:
		st.Canary.Failed = fmt.Sprintf("the Deployment %s was deleted", w.name)
		return
	case canary != nil && controlledBy(canary, d.UID):
		return // it serves: whatever is asked for now is the next run's
	case stable == nil || !controlledBy(stable, d.UID) && !controlledBy(stable, w.run.UID):
		st.Canary.Failed = fmt.Sprintf("the ReplicaSet %s, which served when the run began, is not the Deployment's any more: the Deployment was made anew, or somebody deleted it", w.run.Stable.ReplicaSet)
		return
	}
	if d.Labels[serinv1.RolloutLabel] != w.env.Rollout {
		st.Canary.Failed = fmt.Sprintf("Serin does not hold the Deployment any more: the label %s: %s was taken off %s", serinv1.RolloutLabel, w.env.Rollout, w.name)
		return
	}
	st.Superseded = w.superseded(d, stable, canary)
	if st.Superseded != "" && promoted {
		// The last phase has passed, and there is still a way back.
		st.Canary.Failed = "it was becoming stable, and " + st.Superseded
	}
}

// superseded says what the user asks for instead of the canary; empty when
// nothing else.
func (w *Workload) superseded(d *appsv1.Deployment, stable, canary *appsv1.ReplicaSet) string {
	asked, err := w.asked(d, canary)
	switch {
	case err != nil:
		return "" // no JSON could be made of a template that the API server took
	case asked:
		return ""
	case kube.SameTemplate(stable.Spec.Template, d.Spec.Template):
		return fmt.Sprintf("the template of %s, which serves, was put back", w.run.Stable.Version)
	}
	by := ""
	if m := lastManager(d, "f:spec", "f:template"); m != "" {
		by = " by " + m
	}
	hash, _ := kube.TemplateHash(d.Spec.Template) // it could be read above
	_, next := versions(stable.Spec.Template, d.Spec.Template, w.run.Stable.Hash, hash)
	return fmt.Sprintf("the template was changed again%s, to %s", by, next)
}

// sizeOf is the number of pods that take all the traffic.
func sizeOf(d *appsv1.Deployment, stable *appsv1.ReplicaSet) int32 {
	switch {
	case d != nil:
		return replicas(d)
	case stable != nil:
		return setReplicas(stable)
	}
	return 1
}

// pods lists the pods of a revision, those that are going as well, by name.
func (w *Workload) pods(ctx context.Context, r serinv1.Revision) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := w.env.Client.List(ctx, &list, client.InNamespace(w.env.Namespace), client.MatchingLabels{serinv1.HashLabel: r.Hash}); err != nil {
		return nil, fmt.Errorf("list the pods of ReplicaSet %s/%s: %w", w.env.Namespace, r.ReplicaSet, err)
	}
	own := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		c := metav1.GetControllerOfNoCopy(&p)
		return c == nil || c.Kind != "ReplicaSet" || c.Name != r.ReplicaSet
	})
	slices.SortFunc(own, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return own, nil
}

func (w *Workload) group(r serinv1.Revision, pods []corev1.Pod, set *appsv1.ReplicaSet) workload.Group {
	g := workload.Group{Version: r.Version, ID: r.Hash}
	t := setTrouble(set)
	g.Failed, g.Detail = t.failed, t.detail
	for i := range pods {
		p := &pods[i]
		g.Instances = append(g.Instances, rollout.Instance{Name: p.Name, URL: podURL(p), Ready: podReady(p)})
		t := podTrouble(p)
		g.Failed, g.Detail = cmp.Or(g.Failed, t.failed), cmp.Or(g.Detail, t.detail)
	}
	g.Restarts = w.countRestarts(r, pods)
	return g
}

// countRestarts adds up the restarts of every pod that was seen, also of those
// that have been replaced since.
func (w *Workload) countRestarts(r serinv1.Revision, pods []corev1.Pod) int {
	n := 0
	if r.Hash != w.run.Canary.Hash {
		for i := range pods {
			n += restartsOf(&pods[i])
		}
		return n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range pods {
		w.restarts[pods[i].UID] = max(w.restarts[pods[i].UID], restartsOf(&pods[i]))
	}
	for uid, seen := range w.restarts {
		if n += seen; seen == 0 && !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.UID == uid }) {
			delete(w.restarts, uid)
		}
	}
	return n
}

// podURL is where the first port of a pod's containers is; empty while it has
// no address.
func podURL(p *corev1.Pod) string {
	if p.Status.PodIP == "" {
		return ""
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Protocol != corev1.ProtocolTCP && port.Protocol != "" {
				continue
			}
			scheme := "http"
			if strings.HasPrefix(port.Name, "https") {
				scheme = "https"
			}
			return scheme + "://" + net.JoinHostPort(p.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
		}
	}
	return ""
}
