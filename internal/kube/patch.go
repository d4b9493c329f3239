package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Op is one operation of a JSON patch (RFC 6902).
type Op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Pointer returns the JSON pointer (RFC 6901) of a path.
func Pointer(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// attempts bounds how often Mutate begins anew when somebody else wrote in
// between.
const attempts = 6

// Mutate reads an object and changes exactly the fields that change names,
// provided that nobody wrote the object in between; then it reads again, live,
// and asks change anew. Unknown fields survive, as nothing is written back but
// the operations. No operation means nothing to do.
//
// obj holds the object's name when called and the object as last read or
// written afterwards. cached may serve from a cache; live must not, and may be
// nil when cached does not either.
func Mutate(ctx context.Context, cached client.Client, live client.Reader, obj client.Object, change func() ([]Op, error)) error {
	var reader client.Reader = cached
	key := client.ObjectKeyFromObject(obj)
	var last error
	for i := range attempts {
		if err := reader.Get(ctx, key, obj); err != nil {
			return err
		}
		ops, err := change()
		if err != nil || len(ops) == 0 {
			return err
		}
		guarded := append([]Op{{Op: "test", Path: "/metadata/resourceVersion", Value: obj.GetResourceVersion()}}, ops...)
		data, err := json.Marshal(guarded)
		if err != nil {
			return fmt.Errorf("write the patch: %w", err)
		}
		last = cached.Patch(ctx, obj, client.RawPatch(types.JSONPatchType, data), client.FieldOwner(serinv1.FieldManager))
		if last == nil {
			return nil
		}
		if !overtaken(last) {
			return last
		}
		if live != nil {
			reader = live
		}
		select {
		case <-time.After(time.Duration(i*i) * 10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		}
	}
	return fmt.Errorf("others keep writing the object: %w", last)
}

// overtaken reports that a patch was refused because the object was not the
// one that had been read. The API server answers to a test that fails, and to a
// path that is not there any more, as it does to an invalid object, but names
// no kind.
func overtaken(err error) bool {
	if apierrors.IsConflict(err) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details == nil || details.Kind == ""
}
