package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container runs one container of a pod, again and again as the restart policy
// says.
type container struct {
	pod  *pod
	spec corev1.Container

	mu          sync.Mutex
	state, last corev1.ContainerState
	restarts    int32
	starts      int // how many log files there are
	pid         int // 0 when no process runs
	ready       bool
	started     bool
	id          string
}

func newContainer(p *pod, spec corev1.Container) *container {
	c := &container{pod: p, spec: spec}
	c.state.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	return c
}

// run is over when the container will not run again.
func (c *container) run(ctx context.Context) {
	pull := c.backoff()
	for missing(c.spec.Image) {
		c.wait("ErrImagePull", noSuchImage(c.spec.Image))
		if c.pause(ctx, time.Second) {
			return
		}
		delay := pull.next()
		c.wait("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.spec.Image, noSuchImage(c.spec.Image)))
		if c.pause(ctx, delay) {
			return
		}
	}
	crash := c.backoff()
	for again := false; ; again = true {
		began := time.Now()
		code, err := c.once(ctx)
		switch {
		case err != nil:
			c.wait("CreateContainerConfigError", err.Error())
		case c.over(ctx), c.pod.current().Spec.RestartPolicy == corev1.RestartPolicyNever,
			c.pod.current().Spec.RestartPolicy == corev1.RestartPolicyOnFailure && code == 0:
			return
		}
		if time.Since(began) > 2*crash.max {
			crash = c.backoff()
		}
		// The real kubelet restarts at once the first time and backs off then.
		if delay := crash.next(); again || err != nil {
			if err == nil {
				c.wait("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
					delay, c.spec.Name, c.pod.name, c.pod.namespace, c.pod.uid))
			}
			if c.pause(ctx, delay) {
				return
			}
		} else {
			crash.delay = 0
		}
	}
}

// backoff doubles a wait.
type backoff struct{ first, delay, max time.Duration }

func (c *container) backoff() *backoff {
	o := c.pod.kubelet.options
	return &backoff{first: o.Backoff, max: o.BackoffMax}
}

func (b *backoff) next() time.Duration {
	b.delay = min(max(b.first, 2*b.delay), b.max)
	return b.delay
}

// pause waits; true means that the pod is to end.
func (c *container) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.pod.doomed:
	case <-ctx.Done():
	}
	return c.over(ctx)
}

func (c *container) over(ctx context.Context) bool {
	select {
	case <-c.pod.doomed:
		return true
	default:
		return ctx.Err() != nil
	}
}

// once runs the container's process one time and returns its exit code.
func (c *container) once(ctx context.Context) (int, error) {
	cmd, err := c.command(ctx)
	if err != nil {
		return 0, err
	}
	log, err := createLog(c.logFile(c.countStart()))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log.stream("stdout"), log.stream("stderr")
	// A process that left children behind does not hold its log open for ever.
	cmd.WaitDelay = time.Second
	began := metav1.Now().Rfc3339Copy()
	if err := cmd.Start(); err != nil {
		c.finish(began, 128, "StartError", err.Error())
		return 128, nil
	}
	c.running(began, cmd.Process.Pid)
	probing, stopProbes := context.WithCancel(ctx)
	defer stopProbes()
	unhealthy := c.probe(probing)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the state says how it ended
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}()
	byItself := false
	select {
	case <-done:
		byItself = true
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	case <-c.pod.doomed:
		c.stop(ctx, cmd.Process.Pid, done)
	case <-unhealthy:
		c.pod.kubelet.options.Logger.Info("the liveness probe failed", "pod", c.pod.name, "container", c.spec.Name)
		c.stop(ctx, cmd.Process.Pid, done)
	}
	<-done
	code, reason := cmd.ProcessState.ExitCode(), "Completed"
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		code = 128 + int(s.Signal())
	}
	switch {
	case byItself && code == 128+int(syscall.SIGKILL):
		// There are no limits here. What a node without memory does to a process
		// looks like this, and only the node knows that it was the reason.
		reason = "OOMKilled"
	case code != 0:
		reason = "Error"
	}
	c.finish(began, int32(code), reason, "")
	return code, nil
}

// stop lets the process end in its own time, and kills it when that is over.
func (c *container) stop(ctx context.Context, pid int, done <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, c.pod.grace())
	defer cancel()
	c.preStop(ctx)
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-done:
	case <-ctx.Done():
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// preStop does what the container asks for before it is told to end.
func (c *container) preStop(ctx context.Context) {
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PreStop == nil {
		return
	}
	switch hook := c.spec.Lifecycle.PreStop; {
	case hook.Sleep != nil:
		sleep(ctx, time.Duration(hook.Sleep.Seconds)*time.Second)
	case hook.Exec != nil:
		if err := c.exec(ctx, hook.Exec.Command); err != nil {
			c.pod.kubelet.options.Logger.Warn("the preStop hook failed", "pod", c.pod.name, "container", c.spec.Name, "error", err)
		}
	case hook.HTTPGet != nil:
		if err := c.get(ctx, hook.HTTPGet); err != nil {
			c.pod.kubelet.options.Logger.Warn("the preStop hook failed", "pod", c.pod.name, "container", c.spec.Name, "error", err)
		}
	}
}

// exec runs a command beside the container's process.
func (c *container) exec(ctx context.Context, argv []string) error {
	if len(argv) == 0 {
		return errors.New("the command is empty")
	}
	env, _, err := c.environment(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, c.dir()
	return cmd.Run()
}

func (c *container) dir() string { return filepath.Join(c.pod.dir, c.spec.Name) }

func (c *container) logFile(start int) string {
	return filepath.Join(c.dir(), strconv.Itoa(start)+".log")
}

// countStart returns the number of this start, from 0, and makes the folder.
func (c *container) countStart() int {
	_ = os.MkdirAll(c.dir(), 0o755) // creating the log fails otherwise and says so
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starts++
	c.restarts = int32(c.starts - 1)
	return c.starts - 1
}

func (c *container) wait(reason, message string) {
	c.mu.Lock()
	if c.state.Terminated != nil {
		c.last = c.state
	}
	c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	c.ready, c.started = false, false
	c.mu.Unlock()
	c.pod.change()
}

func (c *container) running(began metav1.Time, pid int) {
	probed := c.spec.ReadinessProbe != nil || c.spec.StartupProbe != nil
	c.mu.Lock()
	if c.state.Terminated != nil {
		c.last = c.state
	}
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
	c.pid, c.ready, c.started = pid, !probed, c.spec.StartupProbe == nil
	c.id = fmt.Sprintf("process://%s-%d-%d", c.pod.uid, c.starts, pid)
	c.mu.Unlock()
	c.pod.change()
}

func (c *container) finish(began metav1.Time, code int32, reason, message string) {
	c.mu.Lock()
	c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: began, FinishedAt: metav1.Now().Rfc3339Copy(), ContainerID: c.id,
	}}
	c.pid, c.ready, c.started = 0, false, false
	c.mu.Unlock()
	c.pod.change()
}

func (c *container) status() corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.started
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, State: c.state, LastTerminationState: c.last,
		Ready: c.ready, Started: &started, RestartCount: c.restarts, ContainerID: c.id,
	}
	if !missing(c.spec.Image) {
		s.ImageID = imageID(c.spec.Image)
	}
	return s
}
