package arms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// Weight is one weight in an object: where it is and what it says.
type Weight struct {
	Path  string // JSON pointer
	Value int64
	// Written is false where the object leaves it to the default.
	Written bool
}

// Pair is the two weights of one rule, and the baseline's where the rule names
// one. Field is the list in spec that the rule is in.
type Pair struct {
	Field          string
	Stable, Canary Weight
	Baseline       *Weight
}

// sum is what the weights are parts of.
func (p Pair) sum() int64 { return p.Stable.Value + p.Canary.Value + p.baseline() }

func (p Pair) baseline() int64 {
	if p.Baseline == nil {
		return 0
	}
	return p.Baseline.Value
}

// percent is the canary's share by the rule, rounded up.
func (p Pair) percent() int { return p.share(p.Canary.Value) }

func (p Pair) share(of int64) int {
	sum := p.sum()
	if sum <= 0 {
		return 0
	}
	return int((of*rollout.Full + sum - 1) / sum)
}

// ops returns what makes the canary's share the weight, and the baseline's its
// own. Where the weights do not sum to 100 they are written so.
func (p Pair) ops(weight, baseline int) []kube.Op {
	if p.Baseline == nil {
		baseline = 0
	}
	is := func(value int64, percent int) bool { return value*rollout.Full == int64(percent)*p.sum() }
	if p.sum() > 0 && is(p.Canary.Value, weight) && is(p.baseline(), baseline) {
		return nil // 1 to 0 is all to stable, as 100 to 0 is
	}
	type part struct {
		Weight
		want int64
	}
	parts := []part{{p.Stable, int64(rollout.Full - weight - baseline)}, {p.Canary, int64(weight)}}
	if p.Baseline != nil {
		parts = append(parts, part{*p.Baseline, int64(baseline)})
	}
	var ops []kube.Op
	for _, w := range parts {
		if w.Value != w.want || !w.Written && w.want != 0 {
			ops = append(ops, kube.Op{Op: "add", Path: w.Path, Value: w.want})
		}
	}
	return ops
}

// Object is a route whose weights stand in one object.
type Object struct {
	Client          client.Client
	Live            client.Reader
	Kind            schema.GroupKind
	Versions        []string // those that Serin can read, the best first
	Namespace, Name string
	// Missing says what to do when the cluster does not know the kind.
	Missing string
	// Pairs finds the rules that split between the arms; a Refusal where there
	// are none or they cannot be used.
	Pairs func(u *unstructured.Unstructured) ([]Pair, error)
	// Asides finds what the object sends to an arm whatever the weights are.
	Asides func(u *unstructured.Unstructured) []Aside
	// Trouble says why the data plane does not follow the object, and whether
	// that is its last word on it as it is written now; nil where an object does
	// not tell.
	Trouble func(u *unstructured.Unstructured) (why string, settled bool)
	// Compares says that there is to be a baseline, and Lacking what to write in a
	// rule that names none.
	Compares bool
	Lacking  string
	// Permitted says what else keeps the object from being used; nil where
	// nothing does.
	Permitted func(ctx context.Context) error

	kind schema.GroupVersionKind
}

func (o *Object) String() string { return o.Kind.Kind + " " + o.Namespace + "/" + o.Name }

// empty returns an object to read into.
func (o *Object) empty() (*unstructured.Unstructured, error) {
	if o.kind.Empty() {
		kind, err := Served(o.Client, o.Kind, o.Versions, o.Missing)
		if err != nil {
			return nil, err
		}
		o.kind = kind
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(o.kind)
	u.SetNamespace(o.Namespace)
	u.SetName(o.Name)
	return u, nil
}

func (o *Object) read(ctx context.Context) (*unstructured.Unstructured, []Pair, error) {
	u, err := o.empty()
	if err != nil {
		return nil, nil, err
	}
	if err := o.Client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		return nil, nil, o.failed("read", err)
	}
	pairs, err := o.Pairs(u)
	return u, pairs, err
}

func (o *Object) failed(doing string, err error) error { return Failed(err, doing, o.String()) }

// Read implements Route.
func (o *Object) Read(ctx context.Context) (Reading, error) {
	u, pairs, err := o.read(ctx)
	if err != nil {
		return Reading{}, err
	}
	r := Reading{Weight: 0, Least: rollout.Full, Revision: revision(u), Asides: o.Asides(u)}
	for _, p := range pairs {
		r.Writer = cmp.Or(r.Writer, Writer(u.GetManagedFields(), "spec", p.Field))
		r.Weight, r.Least = max(r.Weight, p.percent()), min(r.Least, p.percent())
		r.Baseline = max(r.Baseline, p.share(p.baseline()))
		r.NamesBaseline = r.NamesBaseline || p.Baseline != nil
		if o.Compares && p.Baseline == nil {
			r.NoBaseline = fmt.Sprintf("%s has a rule in spec.%s that names both arms and no baseline: %s", o, p.Field, o.Lacking)
		}
	}
	if o.Trouble != nil {
		r.Trouble, _ = o.Trouble(u)
	}
	return r, nil
}

// revision is an object's generation, which the API server counts up with every
// change of the spec, and which object that is.
func revision(u *unstructured.Unstructured) string {
	if u.GetGeneration() == 0 {
		return "" // a kind without one
	}
	const enough = 8
	return fmt.Sprintf("%.*s/%d", enough, u.GetUID(), u.GetGeneration())
}

// Set implements Route.
func (o *Object) Set(ctx context.Context, weight, baseline int) error {
	u, err := o.empty()
	if err != nil {
		return err
	}
	err = kube.Mutate(ctx, o.Client, o.Live, u, func() ([]kube.Op, error) {
		pairs, err := o.Pairs(u)
		if err != nil {
			return nil, err
		}
		var ops []kube.Op
		for _, p := range pairs {
			ops = append(ops, p.ops(weight, baseline)...)
		}
		return ops, nil
	})
	return o.failed(fmt.Sprintf("write weight %d to", weight), err)
}

// Check implements Route.
func (o *Object) Check(ctx context.Context) error {
	u, _, err := o.read(ctx)
	if err != nil {
		return err
	}
	if o.Trouble != nil {
		if why, settled := o.Trouble(u); settled && why != "" {
			return errors.New(why)
		}
	}
	if o.Permitted != nil {
		return o.Permitted(ctx)
	}
	return nil
}

// Served returns the best version of a kind that the cluster serves.
func Served(c client.Client, kind schema.GroupKind, versions []string, missing string) (schema.GroupVersionKind, error) {
	mapping, err := c.RESTMapper().RESTMapping(kind, versions...)
	if meta.IsNoMatchError(err) {
		return schema.GroupVersionKind{}, Refuse("the cluster has no %s in version %s: %s", kind, strings.Join(versions, " or "), missing)
	}
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("ask for the versions of %s: %w", kind, err)
	}
	return mapping.GroupVersionKind, nil
}
