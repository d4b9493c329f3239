package kubelet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// missing says whether no registry has the image, which its name tells.
func missing(image string) bool { return strings.Contains(image, "does-not-exist") }

func noSuchImage(image string) string {
	return fmt.Sprintf("failed to pull and unpack image %q: not found", image)
}

// command returns the container's process, not started.
func (c *container) command(ctx context.Context) (*exec.Cmd, error) {
	env, values, err := c.environment(ctx)
	if err != nil {
		return nil, err
	}
	argv := c.spec.Command
	if len(argv) == 0 {
		program, ok := c.program()
		if !ok {
			return nil, fmt.Errorf("the container has no command, and the test kubelet's table of programs does not hold the image %q", c.spec.Image)
		}
		argv = program
	}
	var expanded []string
	for _, arg := range append(append([]string{}, argv...), c.spec.Args...) {
		expanded = append(expanded, expand(arg, values))
	}
	cmd := exec.Command(expanded[0], expanded[1:]...)
	cmd.Env = env
	cmd.Dir = c.dir()
	if c.spec.WorkingDir != "" {
		cmd.Dir = c.spec.WorkingDir
	}
	// Whatever the process starts ends with it, and all of it with the node.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// program returns what the table says about the image.
func (c *container) program() ([]string, bool) {
	table := c.pod.kubelet.options.Programs
	if argv, ok := table[c.spec.Image]; ok && len(argv) > 0 {
		return argv, true
	}
	name, _, _ := strings.Cut(c.spec.Image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	argv, ok := table[name]
	return argv, ok && len(argv) > 0
}

// environment returns the process's environment, and the same by name for
// expanding arguments. Nothing of this process's own gets in.
//
// Every process is told its pod's address and name, whether it asks for them or
// not; a pod that names a service account gets a KUBECONFIG with its token in
// the place of the files that the real kubelet mounts.
func (c *container) environment(ctx context.Context) ([]string, map[string]string, error) {
	values := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": c.dir(), "TMPDIR": os.TempDir(), "HOSTNAME": c.pod.name,
		"POD_IP": c.pod.address, "POD_NAME": c.pod.name, "POD_NAMESPACE": c.pod.namespace,
	}
	if c.pod.current().Spec.ServiceAccountName != "" {
		config, err := c.pod.kubeconfig(ctx)
		if err != nil {
			return nil, nil, err
		}
		values["KUBECONFIG"] = config
	}
	if len(c.spec.EnvFrom) > 0 {
		return nil, nil, fmt.Errorf("the test kubelet does not know envFrom")
	}
	for _, e := range c.spec.Env {
		value, err := c.value(ctx, e, values)
		if err != nil {
			return nil, nil, fmt.Errorf("set the variable %s: %w", e.Name, err)
		}
		values[e.Name] = value
	}
	var env []string
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	return env, values, nil
}

func (c *container) value(ctx context.Context, e corev1.EnvVar, known map[string]string) (string, error) {
	from := e.ValueFrom
	core := c.pod.kubelet.client.CoreV1()
	switch {
	case from == nil:
		return expand(e.Value, known), nil
	case from.FieldRef != nil:
		return c.field(from.FieldRef.FieldPath)
	case from.ConfigMapKeyRef != nil:
		m, err := core.ConfigMaps(c.pod.namespace).Get(ctx, from.ConfigMapKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return m.Data[from.ConfigMapKeyRef.Key], nil
	case from.SecretKeyRef != nil:
		s, err := core.Secrets(c.pod.namespace).Get(ctx, from.SecretKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return string(s.Data[from.SecretKeyRef.Key]), nil
	}
	return "", fmt.Errorf("the test kubelet does not know this source")
}

// field is the downward API.
func (c *container) field(path string) (string, error) {
	p := c.pod.current()
	for kind, values := range map[string]map[string]string{"labels": p.Labels, "annotations": p.Annotations} {
		if key, ok := strings.CutPrefix(path, "metadata."+kind+"['"); ok {
			return values[strings.TrimSuffix(key, "']")], nil
		}
	}
	value, ok := map[string]string{
		"metadata.name": p.Name, "metadata.namespace": p.Namespace, "metadata.uid": string(p.UID),
		"spec.nodeName": p.Spec.NodeName, "spec.serviceAccountName": p.Spec.ServiceAccountName,
		"status.podIP": c.pod.address, "status.podIPs": c.pod.address,
		"status.hostIP": c.pod.kubelet.options.Address, "status.hostIPs": c.pod.kubelet.options.Address,
	}[path]
	if !ok {
		return "", fmt.Errorf("the test kubelet does not know the field %s", path)
	}
	return value, nil
}

// expand puts values in the place of $(NAME). $$(NAME) stands for $(NAME)
// itself, and a name that is not known stays as it is.
func expand(s string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		value, known := values[name]
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "(") && closed && known:
			out.WriteString(value)
			s = after
		default:
			out.WriteByte('$')
			s = rest
		}
	}
}

// tokenFile and kubeconfigFile are where a pod's processes find their identity.
func (w *pod) tokenFile() string      { return filepath.Join(w.dir, "token") }
func (w *pod) kubeconfigFile() string { return filepath.Join(w.dir, "kubeconfig") }
