package deployment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/workload"
)

// Bounds of what is told of a canary's pods: of how many pods the API server's
// events are asked for, how many of one object, and how many lines there are in
// all.
const (
	eventPods  = 5
	eventsEach = 100
	mostEvents = 40
	// eventTime bounds the asking.
	eventTime = 10 * time.Second
)

var _ workload.Witness = (*Workload)(nil)

// happened is one line of what happened.
type happened struct {
	at   time.Time
	text string
}

// Events implements workload.Witness: how the containers of the canary's pods
// ended or why they cannot start, and what the API server has about these pods
// and their ReplicaSet, as kubectl describe shows it.
func (w *Workload) Events(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	pods, err := w.pods(ctx, w.run.Canary)
	if err != nil {
		return nil, err
	}
	pods = troubledFirst(pods)
	var all []happened
	about := map[types.UID]string{}
	for i := range pods {
		all = append(all, endings(&pods[i])...)
		if i < eventPods {
			about[pods[i].UID] = "pod " + pods[i].Name
		}
	}
	set, errSet := w.set(ctx, w.run.Canary.ReplicaSet)
	if set != nil {
		about[set.UID] = "ReplicaSet " + set.Name
	}
	errs := []error{errSet}
	for uid, name := range about {
		told, err := w.told(ctx, uid, name)
		if err != nil {
			errs = append(errs, err)
			break // the next answer would be the same
		}
		all = append(all, told...)
	}
	slices.SortStableFunc(all, func(a, b happened) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.text, b.text))
	})
	var lines []string
	for _, h := range all[max(0, len(all)-mostEvents):] {
		if !h.at.IsZero() {
			h.text = h.at.UTC().Format(time.TimeOnly) + " " + h.text
		}
		lines = append(lines, h.text)
	}
	return slices.Compact(lines), errors.Join(errs...)
}

// endings says how a pod's containers ended, and what keeps them from running.
func endings(p *corev1.Pod) []happened {
	var out []happened
	for _, c := range containerStatuses(p) {
		for _, end := range []*corev1.ContainerStateTerminated{c.LastTerminationState.Terminated, c.State.Terminated} {
			if end == nil || end.ExitCode == 0 && end.Signal == 0 {
				continue
			}
			how := fmt.Sprintf("pod %s: container %s ended with status %d", p.Name, c.Name, end.ExitCode)
			if end.Reason != "" && end.Reason != "Error" {
				how += " (" + end.Reason + ")"
			}
			if c.RestartCount > 0 {
				how += fmt.Sprintf(", restarted %d times", c.RestartCount)
			}
			out = append(out, happened{end.FinishedAt.Time, how + because(short(end.Message))})
		}
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			out = append(out, happened{p.CreationTimestamp.Time, fmt.Sprintf("pod %s: container %s waits: %s%s", p.Name, c.Name, w.Reason, because(short(w.Message)))})
		}
	}
	return out
}

// told lists the API server's events about one object.
func (w *Workload) told(ctx context.Context, uid types.UID, name string) ([]happened, error) {
	if w.env.Live == nil {
		return nil, nil
	}
	var list corev1.EventList
	err := w.env.Live.List(ctx, &list, client.InNamespace(w.env.Namespace), client.Limit(eventsEach),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("involvedObject.uid", string(uid))})
	if err != nil {
		return nil, fmt.Errorf("list the events about %s: %w", name, err)
	}
	var out []happened
	for i := range list.Items {
		e := &list.Items[i]
		text := name + ": " + e.Reason + because(short(e.Message))
		if n := times(e); n > 1 {
			text += fmt.Sprintf(" (%d times)", n)
		}
		out = append(out, happened{latest(e), text})
	}
	return out, nil
}

// times is how often an event was seen, in either form that there is of it.
func times(e *corev1.Event) int32 {
	if e.Series != nil {
		return e.Series.Count
	}
	return e.Count
}

// latest is when it was seen last.
func latest(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}
