//go:build plane

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/bench/shipped"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/build"
	"serin.dev/serin/test/plane/kubelet"
)

// world is the cluster, what measures it, and the controller that is measured.
type world struct {
	options
	dir        string
	plane      *plane.Plane
	admin      client.Client
	exporter   *exporter
	routes     *routes
	audit      *audit
	controller *process
	prometheus *process
	promURL    string
	began      time.Time
}

// start starts everything, with no rollout yet.
func start(ctx context.Context, o options) (_ *world, err error) {
	w := &world{options: o, dir: o.keep, began: time.Now()}
	if w.dir == "" {
		if w.dir, err = os.MkdirTemp("", "serin-bench-cluster-"); err != nil {
			return nil, err
		}
	} else if w.dir, err = filepath.Abs(o.keep); err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) start(ctx context.Context) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	if err := w.build(ctx); err != nil {
		return err
	}
	var err error
	if w.audit, err = newAudit(w.dir); err != nil {
		return err
	}
	w.plane, err = plane.Start(ctx, plane.Options{
		Dir:           filepath.Join(w.dir, "plane"),
		Kubelet:       &kubelet.Options{FakeReady: true},
		Istio:         true,
		APIServerArgs: w.audit.args(),
	})
	if err != nil {
		return err
	}
	if w.admin, err = client.New(w.plane.Admin, client.Options{Scheme: kube.Scheme()}); err != nil {
		return err
	}
	if w.routes, err = watchRoutes(ctx, w.plane.Admin); err != nil {
		return err
	}
	if w.exporter, err = startExporter(w.rate, w.routes); err != nil {
		return err
	}
	if err := w.startPrometheus(ctx); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, w.program, "install", "--kubeconfig", w.plane.Kubeconfig,
		"--image", "serin:bench", "--version", "v0.1.0", "--prometheus-url", w.promURL).CombinedOutput()
	if err != nil {
		return fmt.Errorf("serin install: %w: %s", err, out)
	}
	return w.startController(ctx)
}

func (w *world) build(ctx context.Context) (err error) {
	if w.program != "" {
		w.program, err = filepath.Abs(w.program)
		return err
	}
	w.program = filepath.Join(w.dir, "serin")
	return shipped.Build(ctx, w.program)
}

func (w *world) startPrometheus(ctx context.Context) error {
	programs, err := build.Programs(ctx, os.Stderr, build.Prometheus)
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	config := filepath.Join(w.dir, "prometheus.yaml")
	text := fmt.Sprintf("global: {scrape_interval: %[1]s, scrape_timeout: %[1]s}\nscrape_configs:\n- job_name: bench\n  static_configs: [{targets: [%[2]q]}]\n", w.scrape, w.exporter.address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	w.promURL = "http://" + address
	if w.prometheus, err = startProcess(w.dir, "prometheus", programs[build.Prometheus], nil,
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(w.dir, "tsdb"), "--web.listen-address="+address); err != nil {
		return err
	}
	return w.plane.WaitForHTTP(ctx, w.promURL+"/-/ready")
}

// close ends everything.
func (w *world) close() {
	for _, p := range []*process{w.controller, w.prometheus} {
		if p != nil {
			p.kill()
		}
	}
	if w.exporter != nil {
		w.exporter.close()
	}
	if w.plane != nil {
		if err := w.plane.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "end the plane:", err)
		}
	}
	if w.keep == "" {
		if err := os.RemoveAll(w.dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove what was measured with:", err)
		}
	}
}

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6s  %s\n", time.Since(w.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// eventually asks again until there is no error, or the controller has ended. What
// takes long to answer is work for what is measured: it is asked the more seldom.
func (w *world) eventually(ctx context.Context, within time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		asked := time.Now()
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(max(500*time.Millisecond, 10*time.Since(asked))):
		case <-w.controller.done:
			return fmt.Errorf("the controller has ended; its log is %s", filepath.Join(w.dir, "controller.log"))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not within %s: %w", within, err), context.Cause(ctx))
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
