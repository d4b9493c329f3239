// Package crd keeps live state in a Kubernetes API server: a run is a CanaryRun,
// its record is the end of the record in the run's status and CanaryRecords
// before that, people's intents are fields of the run's spec.
//
// Every look of a run is one write of one object: state, record, outbox, answers
// and what people read are the same status update, so they are there together
// or not at all. It knows what is stored and how; it must not know what a state
// means, but for putting into words where a run is.
package crd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/store"
)

// format is the form of the compressed fields that this program writes.
const format = 1

// Options say where the runs are.
type Options struct {
	// Client writes. Its reads of CanaryRuns may come from a cache; nothing else
	// is read through it.
	Client client.Client
	// Live reads from the API server itself; nil when Client does.
	Live client.Reader
	// Namespace is where the runs are. Empty means all: then a run's ID and a
	// rollout's name are written namespace/name.
	Namespace string
	// Now is the clock; nil means the machine's.
	Now func() time.Time
}

// Store is the store of one cluster, or of one of its namespaces. It needs no
// closing, and asks the API server nothing unless it is asked.
type Store struct {
	client    client.Client
	live      client.Reader
	direct    bool // client reads live too
	namespace string
	now       func() time.Time

	mu sync.Mutex
	// known holds runs as this store wrote them until the cache shows that too.
	known map[client.ObjectKey]*serinv1.CanaryRun
	// writing holds whoever writes a run, so that writers of one program wait
	// for each other instead of being refused by the API server.
	writing map[client.ObjectKey]chan struct{}
	// creating is held while a run is created.
	creating chan struct{}
}

var _ store.Store = (*Store)(nil)

// New returns a store.
func New(o Options) *Store {
	s := &Store{
		client: o.Client, live: o.Live, namespace: o.Namespace, now: o.Now,
		known:   map[client.ObjectKey]*serinv1.CanaryRun{},
		writing: map[client.ObjectKey]chan struct{}{}, creating: make(chan struct{}, 1),
	}
	if s.live == nil {
		s.live, s.direct = o.Client, true
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Close implements store.Store.
func (s *Store) Close() error { return nil }

// key finds a run or a rollout by the name that users of the store know.
func (s *Store) key(name string) client.ObjectKey {
	if s.namespace != "" {
		return client.ObjectKey{Namespace: s.namespace, Name: name}
	}
	namespace, base, found := strings.Cut(name, "/")
	if !found {
		return client.ObjectKey{Name: name}
	}
	return client.ObjectKey{Namespace: namespace, Name: base}
}

// id is key's counterpart.
func (s *Store) id(run *serinv1.CanaryRun) string {
	if s.namespace != "" {
		return run.Name
	}
	return run.Namespace + "/" + run.Name
}

// hold waits for a turn.
func hold(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another write of this program: %w: %w", store.ErrUnavailable, ctx.Err())
	}
}

func (s *Store) turn(key client.ObjectKey) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[key] == nil {
		s.writing[key] = make(chan struct{}, 1)
	}
	return s.writing[key]
}

// get reads a run whole: as the cache has it, or as this store last wrote it when
// the cache has not come that far; live where the cache holds only a part.
func (s *Store) get(ctx context.Context, key client.ObjectKey) (*serinv1.CanaryRun, error) {
	run := new(serinv1.CanaryRun)
	err := s.client.Get(ctx, key, run)
	if err == nil {
		run = s.newest(run)
	}
	if err == nil && lean(run) && !s.direct || notFound(err) && s.wrote(key) {
		return s.getLive(ctx, key)
	}
	if err == nil {
		return run, nil
	}
	return nil, explain(err, "get", runs)
}

func (s *Store) wrote(key client.ObjectKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[key] != nil
}

func (s *Store) getLive(ctx context.Context, key client.ObjectKey) (*serinv1.CanaryRun, error) {
	run := new(serinv1.CanaryRun)
	if err := s.live.Get(ctx, key, run); err != nil {
		if notFound(err) {
			s.forget(key)
		}
		return nil, explain(err, "get", runs)
	}
	return run, nil
}

// newest returns the later of a reading and of what this store wrote.
func (s *Store) newest(read *serinv1.CanaryRun) *serinv1.CanaryRun {
	key := client.ObjectKeyFromObject(read)
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := s.known[key]
	switch {
	case wrote == nil:
		return read
	case wrote.UID != read.UID, read.Status.Writes >= wrote.Status.Writes && read.Generation >= wrote.Generation:
		delete(s.known, key)
		return read
	}
	newest := wrote.DeepCopy()
	if read.Generation > wrote.Generation {
		newest.Spec, newest.ManagedFields = read.Spec, read.ManagedFields
	}
	return newest
}

func (s *Store) remember(run *serinv1.CanaryRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[client.ObjectKeyFromObject(run)] = run.DeepCopy()
}

func (s *Store) forget(key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, key)
	delete(s.writing, key)
}

const (
	// attempts bounds how often a write begins anew because others wrote.
	attempts = 20
	// pause is before a write whose answer got lost is looked after.
	pause = 100 * time.Millisecond
)

// errDone says that there is nothing to write.
var errDone = errors.New("done already")

// write changes a run's status: one request, unless somebody else wrote in
// between. change is asked again on what they left, and after a request whose
// answer got lost: then it may have been carried out, and change returns errDone
// when it was.
func (s *Store) write(ctx context.Context, key client.ObjectKey, change func(run *serinv1.CanaryRun, lost bool) error) (*serinv1.CanaryRun, error) {
	turn := s.turn(key)
	if err := hold(ctx, turn); err != nil {
		return nil, err
	}
	defer func() { <-turn }()
	run, err := s.get(ctx, key)
	if err != nil {
		return nil, err
	}
	fresh, lost := s.direct, false
	for range attempts {
		if run.Status.Format > format {
			return nil, fmt.Errorf("run %s: %w", s.id(run), store.ErrNewer)
		}
		base := run.DeepCopy()
		err := change(run, lost)
		switch {
		case errors.Is(err, errDone):
			s.remember(base)
			return base, nil
		case err != nil && fresh:
			return nil, err
		case err == nil:
			run.Status.Writes++
			run.Status.Format = format
			err = s.client.Status().Update(ctx, run, client.FieldOwner(serinv1.FieldManager))
			if err == nil {
				s.remember(run)
				return run, nil
			}
			if !conflict(err) {
				if lost || !unanswered(err) {
					return nil, explain(err, "update", runs+"/status")
				}
				lost = true
				if e := sleep(ctx, pause); e != nil {
					return nil, explain(err, "update", runs+"/status")
				}
			}
		}
		if run, err = s.getLive(ctx, key); err != nil {
			return nil, err
		}
		fresh = true
	}
	return nil, fmt.Errorf("write run %s: others keep writing it: %w", key, store.ErrUnavailable)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
