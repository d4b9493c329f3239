package install

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Action is what became of one object.
type Action string

// What can become of an object. With a dry run nothing is written, and the
// action is what would be.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Deleted    Action = "deleted"
	Kept       Action = "kept"
	Gone       Action = "not there"
)

// Result is one line of what an installation did.
type Result struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Action    Action `json:"action"`
	// Note says what else a person should know.
	Note string `json:"note,omitempty"`

	title string
}

func (r Result) String() string {
	s := r.title + " " + string(r.Action)
	if r.Note != "" {
		s += ": " + r.Note
	}
	return s
}

func result(obj client.Object, a Action, note string) Result {
	return Result{
		Kind: obj.GetObjectKind().GroupVersionKind().Kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Action: a, Note: note, title: Title(obj),
	}
}

var (
	// ErrConflict: others have written fields that the installation sets.
	ErrConflict = errors.New("others have set the same fields")
	// ErrDowngrade: the cluster has a newer Serin's definitions.
	ErrDowngrade = errors.New("the cluster has a newer serin")
)

// ApplyOptions say how objects are applied.
type ApplyOptions struct {
	// DryRun lets the API server check everything and write nothing.
	DryRun bool
	// Force takes fields over that others have set.
	Force bool
	// Told is called for each object.
	Told func(Result)
}

// Apply applies objects server-side, in their order, and stops at the first
// that cannot be. Nothing is written when one of the definitions in the cluster
// is newer.
func Apply(ctx context.Context, c client.Client, objects []Object, o ApplyOptions) error {
	live := make([]*unstructured.Unstructured, len(objects))
	fresh := map[string]bool{} // namespaces that are not there yet
	var newer []string
	for i, obj := range objects {
		var err error
		if live[i], err = read(ctx, c, obj.Unstructured); err != nil {
			return fmt.Errorf("read %s: %w", obj.Title(), err)
		}
		if obj.GetKind() == "Namespace" && live[i] != nil && live[i].GetDeletionTimestamp() != nil && !o.DryRun {
			if live[i], err = awaitGone(ctx, c, obj); err != nil {
				return err
			}
		}
		if obj.GetKind() == "Namespace" && (live[i] == nil || live[i].GetDeletionTimestamp() != nil) {
			fresh[obj.GetName()] = true
		}
		if why := downgrade(live[i], obj.Unstructured); why != "" {
			newer = append(newer, why)
		}
	}
	if len(newer) > 0 {
		return fmt.Errorf("%w: %s", ErrDowngrade, strings.Join(newer, "\n"))
	}
	for i, obj := range objects {
		if o.DryRun && fresh[obj.GetNamespace()] {
			o.Told(result(obj, Created, "not checked, as its namespace is not there yet"))
			continue
		}
		r, err := applyOne(ctx, c, obj, live[i], o)
		if err != nil {
			return err
		}
		o.Told(r)
	}
	return nil
}

func applyOne(ctx context.Context, c client.Client, obj Object, live *unstructured.Unstructured, o ApplyOptions) (Result, error) {
	opts := []client.ApplyOption{client.FieldOwner(FieldManager)}
	if o.Force {
		opts = append(opts, client.ForceOwnership)
	}
	if o.DryRun {
		opts = append(opts, client.DryRunAll)
	}
	after := obj.DeepCopy()
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(after), opts...)
	switch {
	case apierrors.IsConflict(err):
		return Result{}, fmt.Errorf("%w: %s: %s; with --force-conflicts serin takes these fields over; where another tool installed Serin, upgrade it with that tool", ErrConflict, obj.Title(), conflicts(err))
	case apierrors.IsNotFound(err) && obj.GetNamespace() != "":
		return Result{}, fmt.Errorf("apply %s: %w; create the namespace first, or let an administrator run `serin install --part cluster`", obj.Title(), err)
	case err != nil:
		return Result{}, fmt.Errorf("apply %s: %w", obj.Title(), err)
	case live == nil:
		return result(obj, Created, ""), nil
	case live.GetResourceVersion() == after.GetResourceVersion() && sameContent(live, after):
		return result(obj, Unchanged, ""), nil
	}
	return result(obj, Configured, ""), nil
}

// awaitGone waits for the end of a namespace that an uninstallation is still
// removing: nothing can be made in it before.
func awaitGone(ctx context.Context, c client.Client, obj Object) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	for {
		live, err := read(ctx, c, obj.Unstructured)
		if err != nil || live == nil || live.GetDeletionTimestamp() == nil {
			return live, err
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is being deleted and does not go; see `kubectl get %s -o yaml`: %w", obj.Title(), obj.Title(), ctx.Err())
		}
	}
}

// read returns an object as it is in the cluster, nil when it is not there.
func read(ctx context.Context, c client.Client, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(obj.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil //nolint:nilnil // not there is an answer
	}
	if err != nil {
		return nil, err
	}
	return live, nil
}

// sameContent compares two readings of an object. A dry run does not give the
// object a new version.
func sameContent(a, b *unstructured.Unstructured) bool {
	strip := func(u *unstructured.Unstructured) map[string]any {
		u = u.DeepCopy()
		u.SetManagedFields(nil)
		u.SetGeneration(0)
		return u.Object
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

// conflicts says who has set which fields.
func conflicts(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return err.Error()
	}
	var all []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			all = append(all, fmt.Sprintf("%s (%s)", cause.Field, cause.Message))
		}
	}
	if len(all) == 0 {
		return err.Error()
	}
	return strings.Join(all, ", ")
}
