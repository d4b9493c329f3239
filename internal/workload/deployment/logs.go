package deployment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Bounds of what is copied: of one container, and how many pods there may be.
const (
	logBytes = 4 << 20
	logLines = 20_000
	logPods  = 20
	// logTime bounds the copying of one log.
	logTime = 15 * time.Second
)

// Logs implements workload.Logger. It copies the latest lines of every
// container of the arm's pods, and of the instance before where a container was
// restarted; pods with trouble come first. A log that cannot be read does not
// keep the others back.
func (w *Workload) Logs(ctx context.Context, arm rollout.Arm, sink workload.Sink) error {
	if w.env.Pods == nil {
		return nil
	}
	pods, err := w.pods(ctx, w.revision(arm))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range troubledFirst(pods) {
		for _, c := range containerStatuses(&p) {
			if c.RestartCount > 0 {
				errs = append(errs, w.copyLog(ctx, &p, c.Name, true, sink))
			}
			if c.State.Running != nil || c.State.Terminated != nil || c.RestartCount > 0 {
				errs = append(errs, w.copyLog(ctx, &p, c.Name, false, sink))
			}
		}
	}
	return errors.Join(errs...)
}

// troubledFirst returns the pods to be copied, those with restarts or trouble
// first.
func troubledFirst(pods []corev1.Pod) []corev1.Pod {
	var first, rest []corev1.Pod
	for _, p := range pods {
		if restartsOf(&p) > 0 || !podReady(&p) {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	first = append(first, rest...)
	return first[:min(len(first), logPods)]
}

func (w *Workload) copyLog(ctx context.Context, p *corev1.Pod, container string, previous bool, sink workload.Sink) error {
	name := p.Name + "-" + container
	if previous {
		name += "-previous"
	}
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	// What was rotated away is no trouble: the sink is called once there is
	// something.
	stream, err := w.env.Pods.Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, Timestamps: true,
		TailLines: new(int64(logLines)), LimitBytes: new(int64(logBytes)),
	}).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of container %s of pod %s/%s: %w", container, p.Namespace, p.Name, err)
	}
	opened := false
	err = sink(name+".log", func() (io.ReadCloser, error) { opened = true; return stream, nil })
	if !opened {
		stream.Close()
	}
	return err
}
