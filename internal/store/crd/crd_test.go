package crd_test

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

const namespace = "shop"

// objects is an API server in memory: it keeps objects, refuses writes against
// old versions and keeps status and spec apart. What it cannot do, such as the
// rules of the definitions, is tested on a real one.
func objects() client.WithWatch {
	return fake.NewClientBuilder().WithScheme(kube.Scheme()).WithStatusSubresource(&serinv1.CanaryRun{}).Build()
}

func TestConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return crd.New(crd.Options{Client: objects(), Namespace: namespace}) })
	storetest.RunDurable(t, sharedBy(objects, namespace))
}

// sharedBy opens stores on one API server a folder: what a folder is on a disk.
func sharedBy(server func() client.WithWatch, namespace string) func(*testing.T, string) store.Store {
	servers := map[string]client.WithWatch{}
	return func(_ *testing.T, dir string) store.Store {
		if servers[dir] == nil {
			servers[dir] = server()
		}
		return crd.New(crd.Options{Client: servers[dir], Namespace: namespace})
	}
}
