package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/weighted"
)

// Router is one Service.
type Router struct {
	client          client.Client
	live            client.Reader
	namespace, name string
	log             *slog.Logger

	// last is the split applied last, nil before the first. It tells whose
	// change a weight is; what the split is, the Service says.
	last *traffic.Split
	// tried is a weight whose write did not answer.
	tried *int
}

// New returns the router of one rollout. It asks the cluster for nothing yet.
func New(c Config, env kube.Env) (*Router, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("traffic.service.%s: %s; %s", ps[0].Field, ps[0].Message, ps[0].Mend)
	}
	r := &Router{client: kube.Fresh(env.Client, env.Live), live: env.Live, namespace: env.Namespace, name: c.Name, log: env.Logger}
	if r.name == "" {
		r.name = env.Rollout
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Apply implements traffic.Router. The canary's traffic begins, or grows, only
// when the pods that are ready do not make more of it than the weight.
func (r *Router) Apply(ctx context.Context, s traffic.Split) error {
	if s.Weight < 0 || s.Weight > rollout.Full {
		return fmt.Errorf("%w: a weight of %d %% cannot be: it is 0 to 100", traffic.ErrRefused, s.Weight)
	}
	r.tried = &s.Weight
	service := r.empty()
	err := kube.Mutate(ctx, r.client, r.live, service, func() ([]kube.Op, error) {
		from := read(service)
		to, err := r.next(ctx, service, from, s)
		if err != nil {
			return nil, err
		}
		if err := selects(service); err != nil {
			return nil, err
		}
		return ops(service, from, to), nil
	})
	if err != nil {
		return weighted.Refused(arms.Failed(err, fmt.Sprintf("write weight %d to", s.Weight), r.String()))
	}
	r.last, r.tried = &s, nil
	return nil
}

// next is the state that a split asks for, or why it must wait or cannot be.
func (r *Router) next(ctx context.Context, service *corev1.Service, from state, s traffic.Split) (state, error) {
	to := state{known: true, weight: s.Weight, stable: cmp.Or(s.StableID, from.stable), canary: cmp.Or(s.CanaryID, from.canary)}
	if s.Promoted {
		return r.promote(ctx, service, from, to)
	}
	if to.stable == "" && s.Weight == 0 {
		to.stable = from.selected
	}
	if to.canary == to.stable {
		to.canary = "" // left over from a run that promoted it
	}
	switch {
	case to.stable == "":
		return to, errors.New("which pods stable is, is not known yet")
	case s.Weight == 0:
		to.selected = to.stable
		return to, r.others(ctx, service, from, to)
	case to.canary == "":
		return to, errors.New("the weight stays: which pods the canary is, is not known yet")
	case s.Weight == rollout.Full:
		return r.full(ctx, service, from, to)
	}
	// What is written already, or lowers, waits for nothing.
	if s.Weight <= from.weight && from.known && from.stable == to.stable && from.canary == to.canary {
		return to, nil
	}
	return to, r.permits(ctx, service, to)
}

// others refuses the first hold of a Service that reaches pods, and none of those
// that serve: its users would find nobody then.
func (r *Router) others(ctx context.Context, service *corev1.Service, from, to state) error {
	if from.known || from.selected != "" {
		return nil // a run goes on; the way back is asked nothing
	}
	own, others, err := r.counted(ctx, service, to.stable)
	if err != nil || own > 0 || others == 0 {
		return err
	}
	return arms.Refuse("%s stays as it is: it reaches %d pods, and none of those that serve, with pod-template-hash %s; compare its selector with the labels of the Deployment's pods", r, others, to.stable)
}

// full takes stable's pods out of the traffic once the canary's that are ready
// are as many. Until then those that come get their part beside stable's.
func (r *Router) full(ctx context.Context, service *corev1.Service, from, to state) (state, error) {
	to.selected = to.canary
	if from.selected == to.canary {
		return to, nil
	}
	canary, others, err := r.counted(ctx, service, to.canary)
	if err != nil || canary > 0 && canary >= others {
		return to, err
	}
	if from.selected != "" || from.canary != to.canary {
		return to, fmt.Errorf("the weight stays: %d of the canary's pods are ready beside %d of stable's", canary, others)
	}
	to.selected = ""
	return to, nil
}

// counted counts the ready pods of a group and all others'.
func (r *Router) counted(ctx context.Context, service *corev1.Service, group string) (own, others int, err error) {
	ready, err := r.ready(ctx, service)
	for g, n := range ready {
		if g == group {
			own += n
		} else {
			others += n
		}
	}
	return own, others, err
}

// permits answers nil when the pods that are ready make no more than the weight.
func (r *Router) permits(ctx context.Context, service *corev1.Service, to state) error {
	canary, others, err := r.counted(ctx, service, to.canary)
	switch {
	case err != nil:
		return err
	case canary == 0:
		return fmt.Errorf("the weight stays: no pod with pod-template-hash %s is ready", to.canary)
	case above(canary, canary+others, to.weight):
		return arms.Refuse("weight %d %% cannot be made by the number of pods: %d of the canary beside %d others get %.1f %%; %s",
			to.weight, canary, others, share(canary, canary+others), mend(others, to.weight))
	}
	return nil
}

// promote points the Service at the tested pods alone.
func (r *Router) promote(ctx context.Context, service *corev1.Service, from, to state) (state, error) {
	group := to.stable
	if group == "" {
		return to, errors.New("which pods the tested ones are, is not known yet")
	}
	to.stable, to.canary, to.selected = group, group, group
	if from.selected == group {
		return to, nil
	}
	// From a last phase below 100 the tested pods are still becoming as many as
	// there were.
	own, others, err := r.counted(ctx, service, group)
	if err == nil && (own == 0 || own < others) {
		err = fmt.Errorf("the Service stays where it is: %d pods with pod-template-hash %s are ready beside %d others", own, group, others)
	}
	return to, err
}

// ready counts the ready pods that the Service would reach without a hash in
// its selector, by their group.
func (r *Router) ready(ctx context.Context, service *corev1.Service) (map[string]int, error) {
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(r.namespace), client.MatchingLabels(arms.WithoutHash(service.Spec.Selector))); err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", r, err)
	}
	ready := map[string]int{}
	for _, p := range pods.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				ready[p.Labels[serinv1.HashLabel]]++
			}
		}
	}
	return ready, nil
}

// Rest implements traffic.Rester.
func (r *Router) Rest(ctx context.Context) error {
	service := r.empty()
	err := kube.Mutate(ctx, r.client, r.live, service, func() ([]kube.Op, error) {
		return ops(service, read(service), state{}), nil
	})
	if err != nil {
		return weighted.Refused(arms.Failed(err, "let go of", r.String()))
	}
	r.last, r.tried = nil, nil
	return nil
}

// Prepare implements traffic.Preparer.
func (r *Router) Prepare(ctx context.Context) error {
	service := r.empty()
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(service), service); err != nil {
		return weighted.Refused(arms.Failed(err, "read", r.String()))
	}
	return weighted.Refused(selects(service))
}

// Check implements traffic.Checker: nothing is made here anyway.
func (r *Router) Check(ctx context.Context) error { return r.Prepare(ctx) }

// selects refuses a Service without a selector of its own.
func selects(service *corev1.Service) error {
	if len(arms.WithoutHash(service.Spec.Selector)) == 0 {
		return arms.Refuse("Service %s/%s selects no pods by a label of theirs; give it the selector of the Deployment", service.Namespace, service.Name)
	}
	return nil
}

func (r *Router) String() string { return "Service " + r.namespace + "/" + r.name }

func (r *Router) empty() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: r.name}}
}

var _ interface {
	traffic.Router
	traffic.Rester
	traffic.Preparer
	traffic.Checker
} = (*Router)(nil)
