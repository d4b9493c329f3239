//go:build plane

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// routes are the weights of all VirtualServices, as a watch tells them.
type routes struct {
	mu      sync.Mutex
	weights map[string]int64
	changed map[string]time.Time
	told    func(key string, weight int64, at time.Time)
}

func watchRoutes(ctx context.Context, config *rest.Config) (*routes, error) {
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	r := &routes{weights: map[string]int64{}, changed: map[string]time.Time{}}
	informers := dynamicinformer.NewDynamicSharedInformerFactory(c, 0)
	informer := informers.ForResource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.see,
		UpdateFunc: func(_, now any) { r.see(now) },
	}); err != nil {
		return nil, err
	}
	informers.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watch the VirtualServices: %w", ctx.Err())
	}
	return r, nil
}

func (r *routes) tell(f func(key string, weight int64, at time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = f
}

func (r *routes) see(obj any) {
	at := time.Now()
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return
	}
	weight := canaryWeight(u)
	key := u.GetNamespace() + "/" + u.GetName()
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, known := r.weights[key]; known && was == weight {
		return
	}
	r.weights[key], r.changed[key] = weight, at
	if r.told != nil {
		r.told(key, weight, at)
	}
}

// canaryWeight is the weight of a VirtualService's second destination.
func canaryWeight(u *unstructured.Unstructured) int64 {
	http, _, _ := unstructured.NestedSlice(u.Object, "spec", "http")
	if len(http) == 0 {
		return 0
	}
	to, _, _ := unstructured.NestedSlice(http[0].(map[string]any), "route")
	if len(to) < 2 {
		return 0
	}
	weight, _, _ := unstructured.NestedInt64(to[1].(map[string]any), "weight")
	return weight
}

// at returns a route's weight and since when it is so.
func (r *routes) at(key string) (int64, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.weights[key], r.changed[key]
}
