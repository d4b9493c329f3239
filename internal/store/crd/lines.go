package crd

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

// maxTail is how much of the record a status holds, compressed. What is more
// goes into a CanaryRecord, so a run of hours costs no more a write than one of
// minutes.
const maxTail = 24 << 10

// Append implements store.Store. It changes no state, so it is no conflict for
// who saves one.
func (s *Store) Append(ctx context.Context, run string, lines []record.Line) error {
	var from int64
	_, err := s.write(ctx, s.key(run), func(o *serinv1.CanaryRun, lost bool) error {
		if len(lines) == 0 {
			return errDone
		}
		if lost {
			if there, err := s.has(ctx, o, from, lines); err != nil || there {
				return cmp.Or(err, errDone)
			}
		}
		from = o.Status.LinesTotal
		return s.addLines(ctx, o, lines)
	})
	if err != nil {
		return fmt.Errorf("write to the record of run %s: %w", run, err)
	}
	return nil
}

// has reports that the record holds these lines, in one piece, somewhere after
// the first from.
func (s *Store) has(ctx context.Context, o *serinv1.CanaryRun, from int64, lines []record.Line) (bool, error) {
	all, err := s.linesOf(ctx, o, from)
	if err != nil {
		return false, err
	}
	for ; len(all) >= len(lines); all = all[1:] {
		if slices.EqualFunc(all[:len(lines)], lines, func(a, b record.Line) bool { return bytes.Equal(a, b) }) {
			return true, nil
		}
	}
	return false, nil
}

// addLines puts lines at the end of the record in a status about to be written:
// first those of intents that have none yet, then the given ones.
func (s *Store) addLines(ctx context.Context, o *serinv1.CanaryRun, lines []record.Line) error {
	st := &o.Status
	if err := s.adopt(o); err != nil {
		return err
	}
	heard, err := hear(o)
	if err != nil {
		return err
	}
	lines = append(heard, lines...)
	if len(lines) == 0 {
		return nil
	}
	if len(st.Lines) > maxTail {
		if err := s.moveTail(ctx, o); err != nil {
			return err
		}
	}
	packed, err := packLines(lines, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("write the lines: %w", err)
	}
	st.Lines = append(bytes.Clone(st.Lines), packed...)
	st.LinesTotal += int64(len(lines))
	return nil
}

// adopt moves what a run began with into the first status that is written.
func (s *Store) adopt(o *serinv1.CanaryRun) error {
	if o.Status.Format != 0 {
		return nil
	}
	b, err := s.beginning(o)
	if err != nil {
		return err
	}
	if o.Status.Lines, err = packLines(b.Lines, gzip.BestSpeed); err != nil {
		return fmt.Errorf("write the lines: %w", err)
	}
	o.Status.LinesTotal = int64(len(b.Lines))
	if o.Status.State, err = pack(kept{State: b.State}); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	o.Status.Format = format
	return s.addMessages(o, b.Messages)
}

// moveTail moves the lines that the stored status holds into a record of their
// own. The record is there before the status lets go of them; readers take no
// line of it until then. Done again after a crash in between it finds its own
// record and goes on.
func (s *Store) moveTail(ctx context.Context, o *serinv1.CanaryRun) error {
	st := &o.Status
	tail, err := unpackLines(st.Lines)
	if err != nil {
		return err
	}
	packed, err := packLines(tail, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("write the lines: %w", err)
	}
	part := &serinv1.CanaryRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: recordName(o.Name, st.LinesBefore+1), Labels: map[string]string{serinv1.RunLabel: o.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: serinv1.GroupVersion.String(), Kind: "CanaryRun", Name: o.Name, UID: o.UID}},
		},
		Run: o.Name, First: st.LinesBefore + 1, Count: int64(len(tail)), Lines: packed,
	}
	err = s.client.Create(ctx, part, client.FieldOwner(serinv1.FieldManager))
	if exists(err) || err != nil && unanswered(err) {
		// An earlier try left it; lines may have come to the tail since.
		there := new(serinv1.CanaryRecord)
		if e := s.live.Get(ctx, client.ObjectKeyFromObject(part), there); e != nil {
			return explain(cmp.Or(err, e), "create", records)
		}
		lines, e := unpackLines(there.Lines)
		if e != nil {
			return fmt.Errorf("%s: %w", there.Name, e)
		}
		if len(lines) > len(tail) || !slices.EqualFunc(lines, tail[:len(lines)], func(a, b record.Line) bool { return bytes.Equal(a, b) }) {
			return fmt.Errorf("the %s %s holds other lines than the run's status; delete it, if nobody needs it, to go on", records, there.Name)
		}
		part, err = there, nil
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // nothing can be made there any more; the status keeps them to the end
	}
	if err != nil {
		return explain(err, "create", records)
	}
	if st.Lines, err = packLines(tail[part.Count:], gzip.BestSpeed); err != nil {
		return fmt.Errorf("write the lines: %w", err)
	}
	st.LinesBefore += part.Count
	return nil
}

func exists(err error) bool { return apierrors.IsAlreadyExists(err) }

// recordName sorts as the lines do.
func recordName(run string, first int64) string { return fmt.Sprintf("%s-%08d", run, first) }

// Lines implements store.Store.
func (s *Store) Lines(ctx context.Context, run string, after, limit int) ([]record.Line, error) {
	o, err := s.get(ctx, s.key(run))
	if err != nil {
		return nil, fmt.Errorf("the record of run %s: %w", run, err)
	}
	lines, err := s.linesOf(ctx, o, int64(after))
	if err != nil {
		return nil, fmt.Errorf("the record of run %s: %w", run, err)
	}
	if limit > 0 {
		lines = lines[:min(limit, len(lines))]
	}
	return lines, nil
}

// linesOf reads the record from line after on.
func (s *Store) linesOf(ctx context.Context, o *serinv1.CanaryRun, after int64) ([]record.Line, error) {
	st := o.Status
	if st.Format == 0 {
		b, err := s.beginning(o)
		return from(b.Lines, after), err
	}
	if st.Format > format {
		return nil, store.ErrNewer
	}
	tail, err := unpackLines(st.Lines)
	if err != nil {
		return nil, err
	}
	after = max(after, 0)
	if after >= st.LinesBefore {
		return from(tail, after-st.LinesBefore), nil
	}
	earlier, err := s.recorded(ctx, o)
	if err != nil {
		return nil, err
	}
	return from(append(earlier, tail...), after), nil
}

func from(lines []record.Line, after int64) []record.Line {
	return lines[min(max(after, 0), int64(len(lines))):]
}

// recorded reads what a run's CanaryRecords hold. A record that the status does
// not count yet is left out: the status still has its lines. So is what holds
// evidence and no lines.
func (s *Store) recorded(ctx context.Context, o *serinv1.CanaryRun) ([]record.Line, error) {
	var list serinv1.CanaryRecordList
	if err := s.live.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingLabels{serinv1.RunLabel: o.Name}); err != nil {
		return nil, explain(err, "list", records)
	}
	slices.SortFunc(list.Items, func(a, b serinv1.CanaryRecord) int { return cmp.Compare(a.First, b.First) })
	var out []record.Line
	for i := range list.Items {
		part := &list.Items[i]
		if part.Count == 0 || part.First > o.Status.LinesBefore || !ownedBy(part, o) {
			continue
		}
		lines, err := unpackLines(part.Lines)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.Name, err)
		}
		if part.First != int64(len(out))+1 || part.Count != int64(len(lines)) {
			return nil, fmt.Errorf("lines %d to %d are missing: a %s was deleted", len(out)+1, part.First-1, records)
		}
		out = append(out, lines...)
	}
	if int64(len(out)) != o.Status.LinesBefore {
		return nil, fmt.Errorf("lines %d to %d are missing: a %s was deleted", len(out)+1, o.Status.LinesBefore, records)
	}
	return out, nil
}

// ownedBy tells a run's records from those of an earlier run of its name.
func ownedBy(part *serinv1.CanaryRecord, o *serinv1.CanaryRun) bool {
	return slices.ContainsFunc(part.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == o.UID })
}
