package crd_test

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

// Serin may be uninstalled in the middle of a run. Whoever does that writes the
// end into the status and cannot write the state.
func TestARunThatWasEndedFromOutsideIsOver(t *testing.T) {
	server := objects()
	s := crd.New(crd.Options{Client: server, Namespace: namespace})
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), nil, nil))
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	r.State.Status = engine.Progressing
	_, err = s.Save(t.Context(), r, store.Change{})
	must(t, err)

	var obj serinv1.CanaryRun
	must(t, server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "shop-1"}, &obj))
	at := metav1.NewMicroTime(time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC))
	obj.Status.Phase, obj.Status.EndedAt = string(engine.RolledBack), &at
	must(t, server.Status().Update(t.Context(), &obj))

	s = crd.New(crd.Options{Client: server, Namespace: namespace}) // installed again
	r, err = s.Load(t.Context(), "shop-1")
	must(t, err)
	if r.State.Status != engine.RolledBack || !r.EndedAt.Equal(at.Time) {
		t.Errorf("the run is %s, ended at %s", r.State.Status, r.EndedAt)
	}
	if _, err := s.Active(t.Context(), "shop"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Active: %v", err)
	}
	if err := s.AddIntent(t.Context(), "shop-1", rollout.Intent{ID: "a", Kind: rollout.Promote}); !errors.Is(err, store.ErrEnded) {
		t.Errorf("an intent for it: %v", err)
	}
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-2"), nil, nil))
	must(t, s.Prune(t.Context(), "shop", 1))
	if _, err := s.Load(t.Context(), "shop-1"); err == nil {
		must(t, server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "shop-1"}, &obj))
		if obj.DeletionTimestamp.IsZero() {
			t.Error("nobody will ever archive it, and it is kept for ever")
		}
	}
}
