package crd

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/store"
)

// maxEvidence is how much evidence is kept of a run, compressed.
const maxEvidence = 512 << 10

// evidenceName is the object that holds a run's evidence.
func evidenceName(run string) string { return run + "-evidence" }

// KeepEvidence keeps what was gathered when a run was rolled back, which is not
// in the record, in an object of its own that goes with the run. What is kept
// already stays: it was gathered nearer to what happened.
func (s *Store) KeepEvidence(ctx context.Context, run string, data []byte) error {
	o, err := s.get(ctx, s.key(run))
	if err != nil {
		return fmt.Errorf("keep the evidence of run %s: %w", run, err)
	}
	packed, err := squeeze(data, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("keep the evidence of run %s: %w", run, err)
	}
	if len(packed) > maxEvidence {
		return fmt.Errorf("keep the evidence of run %s: it is %d bytes, compressed; %d are kept", run, len(packed), maxEvidence)
	}
	err = s.client.Create(ctx, &serinv1.CanaryRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: evidenceName(o.Name), Labels: map[string]string{serinv1.RunLabel: o.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: serinv1.GroupVersion.String(), Kind: "CanaryRun", Name: o.Name, UID: o.UID}},
		},
		Run: o.Name, Evidence: packed,
	}, client.FieldOwner(serinv1.FieldManager))
	if exists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep the evidence of run %s: %w", run, explain(err, "create", records))
	}
	return nil
}

// Evidence returns what KeepEvidence kept; the error wraps store.ErrNotFound
// when that is nothing.
func (s *Store) Evidence(ctx context.Context, run string) ([]byte, error) {
	o, err := s.get(ctx, s.key(run))
	if err != nil {
		return nil, err
	}
	part := new(serinv1.CanaryRecord)
	err = s.live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: evidenceName(o.Name)}, part)
	if apierrors.IsNotFound(err) || err == nil && !ownedBy(part, o) {
		return nil, fmt.Errorf("run %s has no evidence: %w", run, store.ErrNotFound)
	}
	if err != nil {
		return nil, explain(err, "get", records)
	}
	data, err := expand(bytes.Clone(part.Evidence))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", part.Name, err)
	}
	return data, nil
}
