//go:build plane

package gatewayapi_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/gatewayapi"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/groups"
)

// grpcArg makes the test program what pods of the image "grpc" run.
const grpcArg = "grpc-program"

// groupKey is where a gRPC server says which group it belongs to.
const groupKey = "x-group"

// health is a gRPC server that says who it is.
type health struct {
	healthpb.UnimplementedHealthServer
	group string
}

func (h health) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, grpc.SetHeader(ctx, metadata.Pairs(groupKey, h.group))
}

// grpcPod answers calls as the group that it belongs to.
func grpcPod(group string) int {
	listener, err := net.Listen("tcp", os.Getenv("POD_IP")+":8080")
	if err == nil {
		server := grpc.NewServer()
		healthpb.RegisterHealthServer(server, health{group: group})
		err = server.Serve(listener)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestCallsThroughTraefikConform counts real gRPC calls, at the client.
func TestCallsThroughTraefikConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := groupsOf(t, "GRPCRoute", corev1.Container{
			Name: "main", Image: "grpc:1",
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}},
		})
		config := gatewayapi.Config{GRPCRoute: "shop"}
		r := f.compared(t, config)
		// It makes the Services; the route that names them comes after.
		_ = r.Prepare(t.Context())
		host := f.Namespace + ".test"
		f.create(t, f.Namespace, `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: gateway, namespace: gateway}]
  hostnames: [`+host+`]
  rules:
  - backendRefs:
    - {name: shop-stable, port: 80, weight: 100}
    - {name: shop-canary, port: 80, weight: 0}
    - {name: shop-baseline, port: 80, weight: 0}
  - matches: [{headers: [{name: x-tester, value: "yes"}]}]
    backendRefs:
    - {name: shop-canary, port: 80}
`)
		users, err := grpc.NewClient(plane.GatewayAddress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = users.Close() })
		var calls atomic.Int64
		call := func(carry ...string) (rollout.Arm, error) {
			calls.Add(1)
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), carry...), 30*time.Second)
			defer cancel()
			var said metadata.MD
			answer, err := healthpb.NewHealthClient(users).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&said))
			if err != nil {
				return "", err
			}
			switch group := said.Get(groupKey); {
			case answer.GetStatus() != healthpb.HealthCheckResponse_SERVING || len(group) != 1:
				return "", fmt.Errorf("answered %v by %v", answer, group)
			case group[0] == "new":
				return rollout.Canary, nil
			case group[0] == "fresh":
				return rollout.Baseline, nil
			}
			return rollout.Stable, nil
		}
		groups.Eventually(t, func() error { _, err := call(); return err })
		return traffictest.Harness{
			Router: r, StableID: "old", CanaryID: "new", BaselineID: "fresh", FindsInstances: true, Waits: true,
			Send:     func() (rollout.Arm, error) { return call() },
			SendAs:   func(rollout.Arm) (rollout.Arm, error) { return call("x-tester", "yes") },
			Reopen:   func(t *testing.T) traffic.Router { return f.open(t, config, true) },
			Patience: groups.Limit, Requests: 400, Rounds: 9,
			Lag: 3 * time.Second, // as with requests
		}
	})
}
