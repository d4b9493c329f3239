package plane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"serin.dev/serin/test/plane/build"
)

const (
	// GatewayAddress is where Traefik takes the requests for the Gateway
	// "gateway" of the namespace "gateway", in the plane's own network.
	GatewayAddress = "10.88.0.2:80"
	// trafficMetrics is where Traefik tells about itself.
	trafficMetrics = "10.88.0.2:9100"
)

// gatewayManifest lets routes of every namespace through one Gateway.
const gatewayManifest = `apiVersion: v1
kind: Namespace
metadata: {name: gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: gateway}
spec:
  gatewayClassName: traefik
  listeners:
  - name: web
    protocol: HTTP
    port: 80
    allowedRoutes: {namespaces: {from: All}}
`

// startGateway starts Traefik as the data plane of the Gateway API.
func (p *Plane) startGateway(ctx context.Context) error {
	manifest := filepath.Join(p.Dir, "gateway.yaml")
	if err := os.WriteFile(manifest, []byte(gatewayManifest), 0o644); err != nil {
		return fmt.Errorf("write the gateway's manifest: %w", err)
	}
	if err := p.Apply(ctx, manifest); err != nil {
		return err
	}
	p.Traefik = newProcess(p.Dir, "traefik", answers("http://"+trafficMetrics+"/ping", nil), p.programs[build.Traefik],
		"--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=INFO",
		"--entrypoints.web.address="+GatewayAddress, "--entrypoints.metrics.address="+trafficMetrics,
		"--ping=true", "--ping.entrypoint=metrics",
		"--metrics.prometheus=true", "--metrics.prometheus.entrypoint=metrics",
		"--metrics.prometheus.addserviceslabels=true",
		"--providers.kubernetesgateway=true", "--providers.kubernetesgateway.endpoint="+p.Admin.Host,
		"--providers.kubernetesgateway.token="+p.credentials.adminTokenFile,
		"--providers.kubernetesgateway.certauthfilepath="+p.credentials.ca,
		"--providers.kubernetesgateway.statusaddress.ip=10.88.0.2")
	return p.Traefik.Start(ctx)
}
