package crd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

// A run by the default plan, two and a half hours at a look every ten seconds:
// its status stays small, a look is one write, and its record comes back whole.
func TestALongRunStaysSmall(t *testing.T) {
	spec := rollout.DefaultSpec()
	plan := engine.PlanOf(spec)
	lines, end, err := recordtest.World{Seed: 1, Plan: plan}.Run()
	must(t, err)
	if end.Status != engine.Promoted {
		t.Fatalf("the run ends as %s", end.Position())
	}

	var updates, creates, largest int
	server := interceptor.NewClient(objects(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			creates++
			return c.Create(ctx, o, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			updates++
			data, err := json.Marshal(o.(*serinv1.CanaryRun).Status)
			must(t, err)
			largest = max(largest, len(data))
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	s := crd.New(crd.Options{Client: server, Namespace: namespace})
	r := storetest.NewRun(t, "shop", "shop-1")
	r.Plan, r.State = plan, engine.Start(plan)
	must(t, s.Create(t.Context(), r, lines[:1], nil))
	r, err = s.Load(t.Context(), "shop-1")
	must(t, err)

	// The looks are decided again from the record, to have each one's state.
	saves := 0
	pending := []record.Line{}
	save := func() {
		r.Version, err = s.Save(t.Context(), r, store.Change{Lines: pending})
		must(t, err)
		saves, pending = saves+1, nil
	}
	looked := false
	for _, line := range lines[1:] {
		var in record.Input
		if json.Unmarshal(line, &in) == nil && in.Observed != nil {
			if looked {
				save()
			}
			looked = true
			r.State = engine.Decide(plan, r.State, in.Observation()).Next
		}
		pending = append(pending, line)
	}
	r.EndedAt = r.State.At
	save()

	if r.State.Status != engine.Promoted || saves < 900 {
		t.Fatalf("%s after %d looks", r.State.Position(), saves)
	}
	if updates != saves {
		t.Errorf("%d looks took %d status updates", saves, updates)
	}
	var records serinv1.CanaryRecordList
	must(t, server.List(t.Context(), &records))
	stored := 0
	for _, part := range records.Items {
		stored += len(part.Lines)
	}
	if creates != 1+len(records.Items) {
		t.Errorf("%d objects were created for %d records", creates, len(records.Items))
	}
	t.Logf("%d looks over %v: %d lines of %d bytes; the status has at most %d bytes; %d records of %d bytes together",
		saves, time.Duration(r.State.Elapsed), len(lines), len(recordtest.Join(lines)), largest, len(records.Items), stored)
	if largest > 256<<10 {
		t.Errorf("the status has up to %d bytes", largest)
	}
	got, err := s.Lines(t.Context(), "shop-1", 0, 0)
	must(t, err)
	if string(recordtest.Join(got)) != string(recordtest.Join(lines)) {
		t.Errorf("the record comes back other than it was written: %d lines of %d", len(got), len(lines))
	}
	some, err := s.Lines(t.Context(), "shop-1", 700, 20)
	must(t, err)
	if string(recordtest.Join(some)) != string(recordtest.Join(lines[700:720])) {
		t.Error("a piece of the record is another than asked for")
	}
}

func TestTheHistoryIsKeptShort(t *testing.T) {
	server := objects()
	s := crd.New(crd.Options{Client: server, Namespace: namespace})
	for i := range 5 {
		name, err := s.Next(t.Context(), "shop")
		must(t, err)
		if want := fmt.Sprintf("shop-%d", i+1); name != want {
			t.Fatalf("the next run is %s, want %s", name, want)
		}
		must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", name), nil, nil))
		r, err := s.Load(t.Context(), name)
		must(t, err)
		r.State.Status, r.EndedAt = engine.RolledBack, recordtest.Start()
		_, err = s.Save(t.Context(), r, store.Change{})
		must(t, err)
		if i != 1 { // one whose archive has failed is kept
			must(t, s.SetArchived(t.Context(), name, "/report"))
		}
	}
	must(t, s.Prune(t.Context(), "shop", 2))
	var list serinv1.CanaryRunList
	must(t, server.List(t.Context(), &list))
	var left []string
	for _, o := range list.Items {
		if o.DeletionTimestamp.IsZero() {
			left = append(left, o.Name)
		}
	}
	if fmt.Sprint(left) != "[shop-2 shop-4 shop-5]" {
		t.Errorf("left are %v", left)
	}
	if name, err := s.Next(t.Context(), "shop"); err != nil || name != "shop-6" {
		t.Errorf("the next run is %s, %v", name, err)
	}
}

func TestARunOfANewerProgramIsLeftAlone(t *testing.T) {
	server := objects()
	s := crd.New(crd.Options{Client: server, Namespace: namespace})
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), nil, nil))
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	o := new(serinv1.CanaryRun)
	must(t, server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "shop-1"}, o))
	o.Status.Format = 1000
	must(t, server.Status().Update(t.Context(), o))
	_, errLoad := s.Load(t.Context(), "shop-1")
	_, errSave := s.Save(t.Context(), r, store.Change{})
	_, errLines := s.Lines(t.Context(), "shop-1", 0, 0)
	for what, err := range map[string]error{
		"Load": errLoad, "Save": errSave, "Lines": errLines, "Append": s.Append(t.Context(), "shop-1", []record.Line{storetest.Line("x")}),
	} {
		if !isNewer(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func isNewer(err error) bool { return errors.Is(err, store.ErrNewer) }

// A store of all namespaces names runs and rollouts with theirs.
func TestRunsOfAllNamespaces(t *testing.T) {
	s := crd.New(crd.Options{Client: objects()})
	for _, ns := range []string{"one", "two"} {
		name, err := s.Next(t.Context(), ns+"/shop")
		must(t, err)
		if name != ns+"/shop-1" {
			t.Fatalf("the next run is %s", name)
		}
		r := storetest.NewRun(t, "shop", name)
		r.Spec.Metadata.Namespace = ns
		must(t, s.Create(t.Context(), r, []record.Line{storetest.Line(ns)}, []store.Outgoing{{ID: ns, To: "team"}}))
	}
	for _, ns := range []string{"one", "two"} {
		r, err := s.Active(t.Context(), ns+"/shop")
		must(t, err)
		if r.ID != ns+"/shop-1" || r.Rollout != "shop" || r.Spec.Metadata.Namespace != ns {
			t.Errorf("the run of %s is %s of %s in %s", ns, r.ID, r.Rollout, r.Spec.Metadata.Namespace)
		}
		lines, err := s.Lines(t.Context(), r.ID, 0, 0)
		must(t, err)
		if string(recordtest.Join(lines)) != string(storetest.Line(ns))+"\n" {
			t.Errorf("the record of %s is %s", ns, recordtest.Join(lines))
		}
		must(t, s.Settle(t.Context(), ns, true, time.Time{}, ""))
	}
	all, err := s.Runs(t.Context(), "", 0)
	must(t, err)
	due, err := s.Due(t.Context(), time.Now(), 0)
	must(t, err)
	if len(all) != 2 || all[0].ID != "two/shop-1" || len(due) != 0 {
		t.Errorf("%d runs, %d messages", len(all), len(due))
	}
}

// Of two programs that begin the same run at the same time one is refused.
func TestTwoProgramsBeginOneRun(t *testing.T) {
	server := objects()
	a := crd.New(crd.Options{Client: server, Namespace: namespace})
	var won, refused atomic.Int64
	name, err := a.Next(t.Context(), "shop")
	must(t, err)
	run := storetest.NewRun(t, "shop", name)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := crd.New(crd.Options{Client: server, Namespace: namespace})
			switch err := s.Create(t.Context(), run, nil, nil); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrActive):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d won, %d were refused", won.Load(), refused.Load())
	}
}
