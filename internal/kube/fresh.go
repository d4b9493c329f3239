package kube

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Fresh returns a client that never reads from its cache what is older than
// what it wrote itself: then it reads live. So a weight that was raised a
// moment ago is lowered, and not taken for 0 because the cache has not heard
// of the raise. It remembers the objects it patched or created, so it is made
// for one rollout, which has a handful.
func Fresh(cached client.Client, live client.Reader) client.Client {
	return &fresh{Client: cached, live: live, written: map[identity]string{}}
}

type fresh struct {
	client.Client
	live client.Reader

	mu      sync.Mutex
	written map[identity]string // resource versions
}

// identity is an object's kind and name.
type identity struct {
	kind string
	key  client.ObjectKey
}

func (f *fresh) identity(key client.ObjectKey, obj client.Object) identity {
	kind := ""
	if gvk, err := f.GroupVersionKindFor(obj); err == nil {
		kind = gvk.GroupKind().String()
	}
	return identity{kind, key}
}

func (f *fresh) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := f.Client.Get(ctx, key, obj, opts...)
	f.mu.Lock()
	wrote := f.written[f.identity(key, obj)]
	f.mu.Unlock()
	if wrote == "" || f.live == nil || err == nil && !older(obj.GetResourceVersion(), wrote) {
		return err
	}
	err = f.live.Get(ctx, key, obj, opts...)
	f.note(obj, err)
	return err
}

func (f *fresh) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	id := f.identity(client.ObjectKeyFromObject(obj), obj)
	err := f.Client.Patch(ctx, obj, patch, opts...)
	f.wrote(id, obj, err)
	return err
}

func (f *fresh) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	id := f.identity(client.ObjectKeyFromObject(obj), obj)
	err := f.Client.Create(ctx, obj, opts...)
	f.wrote(id, obj, err)
	return err
}

// unknown is the version after a write whose answer was lost.
const unknown = "unknown"

func (f *fresh) wrote(id identity, obj client.Object, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.written[id] = obj.GetResourceVersion()
	case apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		f.written[id] = unknown // the write may have been made all the same
	}
}

// note remembers what was read live, which ends an uncertainty.
func (f *fresh) note(obj client.Object, err error) {
	if err == nil {
		f.wrote(f.identity(client.ObjectKeyFromObject(obj), obj), obj, nil)
	}
}

// older reports whether one resource version comes before another. What cannot
// be compared counts as older, which costs a live read.
func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order < 0
}
