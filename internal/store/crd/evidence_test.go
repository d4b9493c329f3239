package crd_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

func TestEvidenceIsKeptBesideTheRecord(t *testing.T) {
	server := objects()
	s := crd.New(crd.Options{Client: server, Namespace: namespace})
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), []record.Line{record.Line(`{"record":1}`)}, nil))
	if _, err := s.Evidence(t.Context(), "shop-1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run without evidence: %v", err)
	}
	first := []byte(`{"events":["it ended"]}`)
	must(t, s.KeepEvidence(t.Context(), "shop-1", first))
	// A job that is done again, later, knows less.
	must(t, s.KeepEvidence(t.Context(), "shop-1", []byte(`{}`)))
	got, err := s.Evidence(t.Context(), "shop-1")
	must(t, err)
	if !bytes.Equal(got, first) {
		t.Errorf("the evidence is %s, want %s", got, first)
	}
	lines, err := s.Lines(t.Context(), "shop-1", 0, 0)
	must(t, err)
	if len(lines) != 1 || string(lines[0]) != `{"record":1}` {
		t.Errorf("the record is %s", lines)
	}
	var kept serinv1.CanaryRecord
	must(t, server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "shop-1-evidence"}, &kept))
	if len(kept.OwnerReferences) != 1 || kept.OwnerReferences[0].Name != "shop-1" {
		t.Errorf("its owner is %+v; it is to go with the run", kept.OwnerReferences)
	}

	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	must(t, s.Create(t.Context(), storetest.NewRun(t, "cart", "cart-1"), nil, nil))
	if err := s.KeepEvidence(t.Context(), "cart-1", noise); err == nil {
		t.Error("a megabyte that cannot be compressed was kept")
	}
}
