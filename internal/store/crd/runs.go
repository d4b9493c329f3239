package crd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

// begin is what a run starts from. It is part of the object's creation, and
// what counts until the status is first written.
type begin struct {
	Format int `json:"format"`
	// Created orders runs that began in the same second.
	Created   time.Time        `json:"created"`
	StartedAt time.Time        `json:"startedAt"`
	Plan      engine.Plan      `json:"plan"`
	Candidate json.RawMessage  `json:"candidate,omitempty"`
	State     engine.State     `json:"state"`
	Lines     []record.Line    `json:"lines,omitempty"`
	Messages  []store.Outgoing `json:"messages,omitempty"`
}

// kept is the state in a status.
type kept struct {
	// Save is its own for every call of Save, so that a call whose answer got
	// lost knows its work again.
	Save    string       `json:"save,omitempty"`
	State   engine.State `json:"state"`
	EndedAt time.Time    `json:"endedAt,omitzero"`
}

// Next returns the name for the rollout's next run. Whoever creates runs from
// more than one program takes the names from here: of two that begin the same
// run at the same time, the API server refuses one.
func (s *Store) Next(ctx context.Context, rollout string) (string, error) {
	key := s.key(rollout)
	list, err := s.listLive(ctx, key)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%d", key.Name, nextNumber(list))
	if s.namespace == "" {
		return key.Namespace + "/" + name, nil
	}
	return name, nil
}

func nextNumber(list []serinv1.CanaryRun) int32 {
	number := int32(1)
	for i := range list {
		number = max(number, list[i].Spec.Number+1)
	}
	return number
}

// Create implements store.Store. A run without an ID gets the one that Next
// returns.
func (s *Store) Create(ctx context.Context, r store.Run, lines []record.Line, messages []store.Outgoing) error {
	if err := hold(ctx, s.creating); err != nil {
		return err
	}
	defer func() { <-s.creating }()
	owner := s.rolloutKey(r)
	list, err := s.listLive(ctx, owner)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	for i := range list {
		if list[i].Status.EndedAt == nil {
			return fmt.Errorf("create run %s: %w: %s", r.ID, store.ErrActive, list[i].Name)
		}
	}
	run, err := s.object(r, owner, nextNumber(list), lines, messages)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	if err := s.own(ctx, run, owner); err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	want := run.Spec.Begin
	err = s.client.Create(ctx, run, client.FieldOwner(serinv1.FieldManager))
	if err != nil && unanswered(err) {
		// It may be there all the same.
		if e := sleep(ctx, pause); e == nil {
			if there, e := s.getLive(ctx, client.ObjectKeyFromObject(run)); e == nil && bytes.Equal(there.Spec.Begin, want) {
				run, err = there, nil
			}
		}
	}
	if exists(err) {
		return fmt.Errorf("create run %s: somebody else began it: %w", run.Name, store.ErrActive)
	}
	if err != nil {
		return fmt.Errorf("create run %s: %w", run.Name, explain(err, "create", runs))
	}
	s.remember(run)
	return nil
}

// rolloutKey is where the run's rollout is.
func (s *Store) rolloutKey(r store.Run) client.ObjectKey {
	key := s.key(r.Rollout)
	if key.Namespace == "" {
		key.Namespace = r.Spec.Metadata.Namespace
	}
	return key
}

func (s *Store) object(r store.Run, owner client.ObjectKey, number int32, lines []record.Line, messages []store.Outgoing) (*serinv1.CanaryRun, error) {
	pinned, err := json.Marshal(r.Spec)
	if err != nil {
		return nil, fmt.Errorf("write the rollout: %w", err)
	}
	start, err := pack(begin{
		Format: format, Created: s.now().UTC(), StartedAt: r.StartedAt, Plan: r.Plan, Candidate: r.Candidate,
		State: r.State, Lines: lines, Messages: messages,
	})
	if err != nil {
		return nil, fmt.Errorf("write the beginning: %w", err)
	}
	name := fmt.Sprintf("%s-%d", owner.Name, number)
	if r.ID != "" {
		name = s.key(r.ID).Name
	}
	revisions := kube.RevisionsOf(r.Candidate)
	revisions.Stable.Version, revisions.Canary.Version = r.StableVersion, r.CanaryVersion
	return &serinv1.CanaryRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace, Name: name,
			Labels: map[string]string{serinv1.RolloutLabel: owner.Name}, Finalizers: []string{serinv1.Finalizer},
		},
		Spec: serinv1.CanaryRunSpec{
			Rollout: owner.Name, Number: number, Stable: revisions.Stable, Canary: revisions.Canary,
			Actor: r.Actor, StartedAt: metav1.NewMicroTime(r.StartedAt), Pinned: runtime.RawExtension{Raw: pinned}, Begin: start,
		},
	}, nil
}

// own makes the rollout the owner of its run, when there is one.
func (s *Store) own(ctx context.Context, run *serinv1.CanaryRun, key client.ObjectKey) error {
	owner := new(serinv1.CanaryRollout)
	err := s.live.Get(ctx, key, owner)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return explain(err, "get", rollouts)
	}
	run.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, serinv1.GroupVersion.WithKind("CanaryRollout"))}
	// To block the rollout's deletion takes a permission of its own; the
	// finalizers do what is needed.
	run.OwnerReferences[0].BlockOwnerDeletion = nil
	return nil
}

// read turns an object into the run it holds.
func (s *Store) read(o *serinv1.CanaryRun) (store.Run, begin, error) {
	b, err := s.beginning(o)
	if err != nil {
		return store.Run{}, b, err
	}
	r := store.Run{
		ID: s.id(o), Number: int(o.Spec.Number), Rollout: o.Spec.Rollout, Plan: b.Plan,
		StableVersion: o.Spec.Stable.Version, CanaryVersion: o.Spec.Canary.Version, Candidate: b.Candidate,
		Actor: o.Spec.Actor, StartedAt: b.StartedAt, State: b.State, Version: o.Status.StateVersion,
		Archived: o.Status.Archived, Report: o.Status.Report,
	}
	if err := json.Unmarshal(o.Spec.Pinned.Raw, &r.Spec); err != nil {
		return r, b, fmt.Errorf("read run %s: the rollout it pinned: %w", r.ID, err)
	}
	if len(o.Status.State) > 0 {
		var k kept
		if err := unpack(o.Status.State, &k); err != nil {
			return r, b, fmt.Errorf("read run %s: its state: %w", r.ID, err)
		}
		r.State, r.EndedAt = k.State, k.EndedAt
	}
	if forced(o, r.State) {
		r.State.Status, r.EndedAt = engine.Status(o.Status.Phase), o.Status.EndedAt.Time
	}
	return r, b, nil
}

// forced reports that a run was ended from outside, as when Serin was
// uninstalled: its status says so and its state, which nobody carries on, does
// not.
func forced(o *serinv1.CanaryRun, state engine.State) bool {
	return o.Status.EndedAt != nil && !state.Ended()
}

// Finished reports that a run was carried to its end, so that its record is
// whole. A run that was ended from outside was not, and nobody archives it.
func Finished(o *serinv1.CanaryRun) bool {
	return o.Status.EndedAt != nil && stateOf(o).Ended()
}

// stateOf is the state in a status, empty where there is none yet.
func stateOf(o *serinv1.CanaryRun) engine.State {
	var k kept
	if len(o.Status.State) > 0 && unpack(o.Status.State, &k) != nil {
		return engine.State{Status: engine.Promoted} // not to be read: kept
	}
	return k.State
}

func (s *Store) beginning(o *serinv1.CanaryRun) (begin, error) {
	var b begin
	if o.Status.Format > format {
		return b, fmt.Errorf("read run %s: %w", s.id(o), store.ErrNewer)
	}
	if err := unpack(o.Spec.Begin, &b); err != nil {
		return b, fmt.Errorf("read run %s: its beginning: %w", s.id(o), err)
	}
	if b.Format > format {
		return b, fmt.Errorf("read run %s: %w", s.id(o), store.ErrNewer)
	}
	return b, nil
}

// Load implements store.Store. It asks the API server itself: who takes over a
// run from another program goes on from what that saved last, which a cache may
// not have seen.
func (s *Store) Load(ctx context.Context, id string) (store.Run, error) {
	o, err := s.getLive(ctx, s.key(id))
	if err != nil {
		return store.Run{}, fmt.Errorf("run %s: %w", id, err)
	}
	r, _, err := s.read(o)
	return r, err
}

// Active implements store.Store.
func (s *Store) Active(ctx context.Context, rollout string) (store.Run, error) {
	list, err := s.list(ctx, rollout)
	if err != nil {
		return store.Run{}, err
	}
	for _, o := range list {
		if o.Status.EndedAt == nil {
			r, _, err := s.read(o)
			return r, err
		}
	}
	return store.Run{}, fmt.Errorf("active run of %s: %w", rollout, store.ErrNotFound)
}

// Runs implements store.Store.
func (s *Store) Runs(ctx context.Context, rollout string, limit int) ([]store.Run, error) {
	list, err := s.list(ctx, rollout)
	if err != nil {
		return nil, err
	}
	type dated struct {
		run     store.Run
		created time.Time
	}
	var all []dated
	for _, o := range list {
		r, b, err := s.read(o)
		if err != nil {
			return nil, err
		}
		r.State.Analysis = analysis.State{}
		all = append(all, dated{r, b.Created})
	}
	slices.SortStableFunc(all, func(a, b dated) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(b.run.Number, a.run.Number))
	})
	if limit > 0 {
		all = all[:min(limit, len(all))]
	}
	var out []store.Run
	for _, d := range all {
		out = append(out, d.run)
	}
	return out, nil
}

// list reads the runs of a rollout, or all, with what this store wrote and the
// cache does not show yet.
func (s *Store) list(ctx context.Context, rollout string, opts ...client.ListOption) ([]*serinv1.CanaryRun, error) {
	key := client.ObjectKey{Namespace: s.namespace}
	if rollout != "" {
		key = s.key(rollout)
	}
	var list serinv1.CanaryRunList
	if err := s.client.List(ctx, &list, append(s.those(key), opts...)...); err != nil {
		return nil, explain(err, "list", runs)
	}
	var out []*serinv1.CanaryRun
	listed := map[client.ObjectKey]bool{}
	for i := range list.Items {
		listed[client.ObjectKeyFromObject(&list.Items[i])] = true
		out = append(out, s.newest(&list.Items[i]))
	}
	for _, unseen := range s.unseen(key, listed) {
		run, err := s.getLive(ctx, unseen)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, run)
	}
	return out, nil
}

// unseen are runs this store wrote that a list does not have.
func (s *Store) unseen(rollout client.ObjectKey, listed map[client.ObjectKey]bool) []client.ObjectKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []client.ObjectKey
	for key, run := range s.known {
		if !listed[key] && (rollout.Name == "" || run.Spec.Rollout == rollout.Name && key.Namespace == rollout.Namespace) {
			out = append(out, key)
		}
	}
	return out
}

func (s *Store) listLive(ctx context.Context, rollout client.ObjectKey) ([]serinv1.CanaryRun, error) {
	var list serinv1.CanaryRunList
	if err := s.live.List(ctx, &list, s.those(rollout)...); err != nil {
		return nil, explain(err, "list", runs)
	}
	return list.Items, nil
}

func (s *Store) those(rollout client.ObjectKey) []client.ListOption {
	var opts []client.ListOption
	if rollout.Namespace != "" {
		opts = append(opts, client.InNamespace(rollout.Namespace))
	}
	if rollout.Name != "" {
		opts = append(opts, client.MatchingLabels{serinv1.RolloutLabel: rollout.Name})
	}
	return opts
}

// Save implements store.Store: one status update.
func (s *Store) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	state, err := pack(kept{Save: rand.Text(), State: r.State, EndedAt: r.EndedAt})
	if err != nil {
		return 0, fmt.Errorf("save run %s: write the state: %w", r.ID, err)
	}
	saved, err := s.write(ctx, s.key(r.ID), func(o *serinv1.CanaryRun, lost bool) error {
		st := &o.Status
		if lost && st.StateVersion == r.Version+1 && bytes.Equal(st.State, state) {
			return errDone
		}
		if st.StateVersion != r.Version {
			return fmt.Errorf("its state is at version %d and not at %d any more: %w", st.StateVersion, r.Version, store.ErrConflict)
		}
		if err := s.addLines(ctx, o, c.Lines); err != nil {
			return err
		}
		if err := s.addMessages(o, c.Messages); err != nil {
			return err
		}
		addAnswers(st, c.Answered)
		st.StateVersion, st.State = r.Version+1, state
		summarize(o, r, latest(c.Lines))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("save run %s: %w", r.ID, err)
	}
	return saved.Status.StateVersion, nil
}

// SetArchived implements store.Store.
func (s *Store) SetArchived(ctx context.Context, run, report string) error {
	_, err := s.write(ctx, s.key(run), func(o *serinv1.CanaryRun, _ bool) error {
		if o.Status.Archived && o.Status.Report == report {
			return errDone
		}
		if err := s.addLines(ctx, o, nil); err != nil {
			return err
		}
		o.Status.Archived, o.Status.Report = true, report
		return nil
	})
	if err != nil {
		return fmt.Errorf("note that run %s is archived: %w", run, err)
	}
	return nil
}

// Prune removes a rollout's runs that have ended and are archived, but for the
// newest keep of all. Their records go with them.
func (s *Store) Prune(ctx context.Context, rollout string, keep int) error {
	list, err := s.list(ctx, rollout)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b *serinv1.CanaryRun) int { return cmp.Compare(b.Spec.Number, a.Spec.Number) })
	for _, o := range list[min(max(keep, 0), len(list)):] {
		if o.Status.EndedAt == nil || !o.DeletionTimestamp.IsZero() {
			continue
		}
		if !o.Status.Archived && !forced(o, stateOf(o)) { // nobody archives what was ended from outside
			continue
		}
		err := s.client.Delete(ctx, o, client.Preconditions{UID: &o.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil && !notFound(err) && !conflict(err) {
			return fmt.Errorf("remove run %s: %w", s.id(o), explain(err, "delete", runs))
		}
		s.forget(client.ObjectKeyFromObject(o))
	}
	return nil
}
