package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// What a person's commands do on a cluster, with the person's own permissions.

// CountPods counts the pods of one revision, and those that are ready.
func CountPods(ctx context.Context, c client.Client, namespace, hash string) (all, ready int, err error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{serinv1.HashLabel: hash}); err != nil {
		return 0, 0, fmt.Errorf("list the pods of %s: %w", hash, err)
	}
	for i := range pods.Items {
		all++
		for _, c := range pods.Items[i].Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return all, ready, nil
}

// SetTag makes a Deployment ask for another tag of its first container's image, and
// holds it in the same write, where no policy does and Serin has not yet.
func SetTag(ctx context.Context, c client.Client, key client.ObjectKey, tag string) error {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := Mutate(ctx, c, nil, d, func() ([]Op, error) {
		containers := d.Spec.Template.Spec.Containers
		if len(containers) == 0 {
			return nil, errors.New("it has no container")
		}
		image := Retag(containers[0].Image, tag)
		if image == containers[0].Image {
			return nil, nil
		}
		return append(Hold(d), Op{Op: "replace", Path: "/spec/template/spec/containers/0/image", Value: image}), nil
	})
	if err != nil {
		return fmt.Errorf("set the image of Deployment %s: %w", key, err)
	}
	return nil
}

// Hold are the operations that pause a Deployment: none where it is paused.
func Hold(d *appsv1.Deployment) []Op {
	if d.Spec.Paused {
		return nil
	}
	return []Op{{Op: "add", Path: "/spec/paused", Value: true}}
}

// Retag returns an image with another tag. A digest is dropped, a registry's
// port is not taken for a tag.
func Retag(image, tag string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image + ":" + tag
}

// Retry has a revision tried again that a run rolled back.
func Retry(ctx context.Context, c client.Client, namespace, rollout, run string) error {
	obj := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: rollout}}
	err := Mutate(ctx, c, nil, obj, func() ([]Op, error) {
		switch {
		case obj.Annotations[serinv1.RetryAnnotation] == run:
			return nil, nil
		case obj.Annotations == nil:
			return []Op{{Op: "add", Path: "/metadata/annotations", Value: map[string]string{serinv1.RetryAnnotation: run}}}, nil
		}
		return []Op{{Op: "add", Path: Pointer("metadata", "annotations", serinv1.RetryAnnotation), Value: run}}, nil
	})
	if err != nil {
		return fmt.Errorf("ask for another try of %s: %w", run, err)
	}
	return nil
}

// maxLog bounds what is read of one container's log.
const maxLog = 16 << 20

// Logs copies the logs of one revision's pods. With follow it goes on until ctx
// ends; lines of different pods come as they are written then, each with the
// pod's name.
func Logs(ctx context.Context, c kubernetes.Interface, namespace, hash string, follow bool, w io.Writer) error {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: serinv1.HashLabel + "=" + hash})
	if err != nil {
		return fmt.Errorf("list the pods of %s: %w", hash, err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	for _, pod := range pods.Items {
		for _, container := range pod.Spec.Containers {
			copyOne := func() {
				err := copyLog(ctx, c, namespace, pod.Name, container.Name, follow, func(line string) error {
					mu.Lock()
					defer mu.Unlock()
					_, err := fmt.Fprintf(w, "%s %s\n", pod.Name, line)
					return err
				})
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			if follow {
				all.Go(copyOne)
			} else {
				copyOne()
			}
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

func copyLog(ctx context.Context, c kubernetes.Interface, namespace, pod, container string, follow bool, line func(string) error) error {
	limit := int64(maxLog)
	options := &corev1.PodLogOptions{Container: container, Follow: follow, LimitBytes: &limit}
	if follow {
		options.LimitBytes = nil
	}
	stream, err := c.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of pod %s: %w", pod, err)
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			if e := line(strings.TrimRight(text, "\r\n")); e != nil {
				return e
			}
		}
		if err == io.EOF || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log of pod %s: %w", pod, err)
		}
	}
}
