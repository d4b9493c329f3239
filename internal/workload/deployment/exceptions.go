package deployment

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"serin.dev/serin/internal/exceptions"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// Bounds of reading logs for exceptions: all of a tick's reading, of how many
// pods at once, and of one container's lines in a tick.
const (
	readTime  = 2 * time.Second
	readPods  = 8
	readBytes = 8 << 20
)

var _ workload.Thrower = (*Workload)(nil)

// readers are the logs that are read for exceptions, by pod and container.
type readers struct {
	mu   sync.Mutex
	born time.Time
	logs map[logKey]*podLog
}

type logKey struct{ pod, container string }

// podLog is how far one container's log has been read.
type podLog struct {
	reader *exceptions.Reader
	// after is the time that the API server gave the last line that was read.
	after    time.Time
	restarts int32
	known    []exceptions.Seen
	// history says that what is there already only tells which classes are known.
	history bool
}

// Exceptions implements workload.Thrower. Of a stable pod, what was written
// before the first call only says which classes are known. Of a fresh pod that
// is older than this controller, reading begins with the controller: what was
// before may have been counted.
func (w *Workload) Exceptions(ctx context.Context) (map[rollout.Arm][]rollout.Exception, error) {
	if w.env.Pods == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	w.thrown.mu.Lock()
	defer w.thrown.mu.Unlock()
	out := map[rollout.Arm][]rollout.Exception{}
	kept := map[logKey]*podLog{}
	var errs []error
	groups := []rollout.Arm{rollout.Stable, rollout.Canary}
	if w.run.Baseline {
		groups = append(groups, rollout.Baseline)
	}
	for _, arm := range groups {
		pods, err := w.pods(ctx, w.revision(arm))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list, err := w.listen(ctx, arm, troubledFirst(pods), kept)
		if err != nil {
			errs = append(errs, err)
		}
		if list != nil {
			out[arm] = list
		}
	}
	w.thrown.logs = kept
	if len(out) == 0 {
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		w.env.logger().Warn("logs could not be read for exceptions", "error", err)
	}
	return out, nil
}

// listen reads the logs of an arm's pods. The list is nil when not one of them
// could be read; without a pod there is nothing that could not.
func (w *Workload) listen(ctx context.Context, arm rollout.Arm, pods []corev1.Pod, kept map[logKey]*podLog) ([]rollout.Exception, error) {
	var (
		mu       sync.Mutex
		wait     sync.WaitGroup
		slots    = make(chan struct{}, readPods)
		list     []rollout.Exception
		read     = len(pods) == 0
		failures []error
	)
	for _, p := range pods {
		for _, c := range containerStatuses(&p) {
			if c.State.Running == nil && c.State.Terminated == nil {
				continue
			}
			key := logKey{p.Name, c.Name}
			l := w.thrown.logs[key]
			if l == nil {
				l = w.newPodLog(arm, &p)
			}
			kept[key] = l
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				err := l.catchUp(ctx, w.env.Pods.Pods(p.Namespace), p.Name, c.Name, c.RestartCount)
				seen, _ := l.reader.Take()
				if l.history && err == nil {
					l.known, seen, l.history = seen, nil, false
				}
				thrown := workload.Thrown(p.Name, seen, l.known, arm == rollout.Canary)
				l.known = nil
				mu.Lock()
				defer mu.Unlock()
				list = append(list, thrown...)
				if err != nil {
					failures = append(failures, err)
				} else {
					read = true
				}
			})
		}
	}
	wait.Wait()
	if !read {
		return nil, errors.Join(failures...)
	}
	if list == nil {
		list = []rollout.Exception{}
	}
	slices.SortFunc(list, func(a, b rollout.Exception) int {
		return bytes.Compare([]byte(a.Instance+"\x00"+a.Class), []byte(b.Instance+"\x00"+b.Class))
	})
	return list, errors.Join(failures...)
}

func (w *Workload) newPodLog(arm rollout.Arm, p *corev1.Pod) *podLog {
	l := &podLog{reader: exceptions.NewReader(), history: arm == rollout.Stable}
	if arm != rollout.Stable && p.CreationTimestamp.Time.Before(w.thrown.born.Truncate(time.Second)) {
		l.after = w.thrown.born
		w.env.logger().Info("the log of a pod is read for exceptions from now on: what it wrote before may have been counted", "namespace", p.Namespace, "pod", p.Name)
	}
	return l
}

// catchUp reads what a container has written since the last time, first the rest
// of the instance before when it was restarted meanwhile.
func (l *podLog) catchUp(ctx context.Context, pods corev1client.PodInterface, pod, container string, restarts int32) error {
	if restarts > l.restarts {
		if err := l.read(ctx, pods, pod, container, true); err != nil && ctx.Err() != nil {
			return err
		}
		l.reader.Skip()
		l.restarts = restarts
	}
	return l.read(ctx, pods, pod, container, false)
}

func (l *podLog) read(ctx context.Context, pods corev1client.PodInterface, pod, container string, previous bool) error {
	opts := &corev1.PodLogOptions{Container: container, Previous: previous, Timestamps: true, LimitBytes: new(int64(readBytes))}
	if l.after.IsZero() {
		opts.TailLines = new(int64(logLines))
	} else {
		since := metav1.NewTime(l.after)
		opts.SinceTime = &since
	}
	stream, err := pods.GetLogs(pod, opts).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of container %s of pod %s for exceptions: %w", container, pod, err)
	}
	defer stream.Close()
	return l.lines(io.LimitReader(stream, readBytes))
}

// lines shows the reader the lines of a log that are newer than the last one,
// without their times. A line whose end has not come is left for the next time.
func (l *podLog) lines(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	begins, wanted := true, false
	for {
		part, err := r.ReadSlice('\n')
		whole := len(part) > 0 && part[len(part)-1] == '\n'
		if begins {
			at, rest, ok := bytes.Cut(part, []byte(" "))
			when, errTime := time.Parse(time.RFC3339Nano, string(at))
			wanted = ok && errTime == nil && when.After(l.after) && (whole || !errors.Is(err, io.EOF))
			if wanted {
				l.after, part = when, rest
			}
		}
		if wanted {
			_, _ = l.reader.Write(part) // it never fails
		}
		begins = whole
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read a log for exceptions: %w", err)
		}
	}
}
