//go:build plane

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"serin.dev/serin/internal/install"
)

// process is a program that is measured or that measures.
type process struct {
	cmd     *exec.Cmd
	done    chan struct{}
	metrics string
}

func startProcess(dir, name, program string, env []string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// startController starts the controller as the installed service account.
func (w *world) startController(ctx context.Context) error {
	token, err := w.plane.ServiceAccount(ctx, install.Namespace, "serin-controller")
	if err != nil {
		return err
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["bench"] = &clientcmdapi.Cluster{Server: token.Host, CertificateAuthorityData: token.CAData}
	c.AuthInfos["bench"] = &clientcmdapi.AuthInfo{Token: token.BearerToken}
	c.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench", Namespace: install.Namespace}
	c.CurrentContext = "bench"
	kubeconfig := filepath.Join(w.dir, "controller.kubeconfig")
	if err := clientcmd.WriteToFile(*c, kubeconfig); err != nil {
		return err
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	w.controller, err = startProcess(w.dir, "controller", w.program, []string{"POD_NAMESPACE=" + install.Namespace, "KUBECONFIG=" + kubeconfig},
		"controller", "--leader-elect", "--metrics-bind-address="+metrics, "--health-probe-bind-address="+health,
		"--archive="+filepath.Join(w.dir, "archive"), "--prometheus-url="+w.promURL)
	if err != nil {
		return err
	}
	w.controller.metrics = "http://" + metrics + "/metrics"
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return w.plane.WaitForHTTP(ctx, "http://"+health+"/readyz")
}

// usage is what a process has used so far.
type usage struct {
	at             time.Time
	resident, peak int64
	cpu            time.Duration
}

// clockTick is the unit of /proc/PID/stat on Linux.
const clockTick = 10 * time.Millisecond

func (p *process) usage() (usage, error) {
	u := usage{at: time.Now()}
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, fmt.Errorf("the controller has ended: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64) // the two lines below have numbers
		switch f[0] {
		case "VmRSS:":
			u.resident = kib << 10
		case "VmHWM:":
			u.peak = kib << 10
		}
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}
	// After the name, which may hold anything but ends with the last bracket.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * clockTick
	}
	return u, nil
}

// telemetry is what the controller says of itself, by the text before the
// value.
func (p *process) telemetry(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the controller's metrics: %w", err)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if ok && name != "#" {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = v
			}
		}
	}
	return out, lines.Err()
}
