// Command cluster leaves a full test plane up, with the demo shop behind a
// Gateway and people visiting it, until it is interrupted.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"serin.dev/serin/internal/demo/load"
	"serin.dev/serin/test/plane"
)

// shop is the demo shop as a user would have it: a Deployment, a Service and a
// route.
//
//go:embed shop.yaml
var shop []byte

// rollout is how it is released.
//
//go:embed rollout.yaml
var rollout []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("give the serin program whose demo shop is to run, as in: make cluster")
	}
	serin, err := filepath.Abs(os.Args[1])
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, serin, "version").CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", serin, err, out)
	}
	o := plane.Full()
	o.Kubelet.Programs = map[string][]string{
		"serin":                    {serin},
		"registry.example/shop:v1": {serin, "demo-shop", "-version=v1"},
		"registry.example/shop:v2": {serin, "demo-shop", "-version=v2"},
		// A release whose checkouts fail four times as often.
		"registry.example/shop:bad": {serin, "demo-shop", "-version=bad", "-errors=4"},
	}
	if err := plane.Enter(ctx, o); err != nil {
		return err
	}
	p, err := plane.Start(ctx, o)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := up(ctx, p); err != nil {
		return err
	}
	visits, err := load.Start(ctx, load.Config{URL: "http://" + plane.GatewayAddress, Rate: 50, Users: 200, Seed: 1})
	if err != nil {
		return err
	}
	defer visits.Stop()
	script := filepath.Join(p.Dir, "enter")
	if err := p.EnterScript(script); err != nil {
		return err
	}
	file := filepath.Join(p.Dir, "rollout.yaml")
	if err := os.WriteFile(file, rollout, 0o644); err != nil {
		return err
	}
	fmt.Printf(`
The cluster is up; Ctrl-C ends it and all that runs in it.

The demo shop is the Deployment "shop" of the namespace "web" with 3 pods, and 50
requests a second come through the Gateway. There are the images shop:v1, shop:v2
and shop:bad, whose checkouts fail. From another terminal, docs/kubernetes.md step
by step:

  %[1]s %[2]s install --image serin:here --prometheus-url %[3]s
  %[1]s kubectl apply -f %[4]s
  %[1]s kubectl patch httproute shop -n web --type=json -p '[{"op":"replace","path":"/spec/rules/0/backendRefs","value":[{"name":"shop-stable","port":80,"weight":100},{"name":"shop-canary","port":80,"weight":0}]}]'
  %[1]s kubectl set image deployment/shop shop=registry.example/shop:v2 -n web

and what becomes of it:

  %[1]s %[2]s describe shop -n web
  %[1]s kubectl get canaryrollout,canaryrun,pods -n web
  %[1]s kubectl set image deployment/shop shop=registry.example/shop:bad -n web
  %[1]s %[2]s report shop -n web
  %[1]s %[2]s uninstall

Logs are in %[5]s/logs, and Prometheus answers at
  %[1]s curl -s '%[3]s/api/v1/query?query=traefik_service_requests_total'
`, script, serin, plane.PrometheusURL, file, p.Dir)
	<-ctx.Done()
	return nil
}

// up applies the shop and waits until the Gateway leads to it.
func up(ctx context.Context, p *plane.Plane) error {
	manifest := filepath.Join(p.Dir, "shop.yaml")
	if err := os.WriteFile(manifest, shop, 0o644); err != nil {
		return err
	}
	if err := p.Apply(ctx, manifest); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if _, err := p.Kubectl(ctx, "rollout", "status", "deployment/shop", "-n", "web"); err != nil {
		return err
	}
	return p.WaitForHTTP(ctx, "http://"+plane.GatewayAddress+"/healthz")
}
