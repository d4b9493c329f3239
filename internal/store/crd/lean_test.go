package crd_test

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
)

// leanly is an API server whose runs are read through a cache that makes them
// lean.
func leanly(server client.WithWatch) client.WithWatch {
	return interceptor.NewClient(server, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			err := c.Get(ctx, key, o, opts...)
			_, _ = crd.Lean(o) // it never fails
			return err
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, o, opts...)
			if list, ok := o.(*serinv1.CanaryRunList); ok {
				for i := range list.Items {
					_, _ = crd.Lean(&list.Items[i])
				}
			}
			return err
		},
	})
}

func TestConformsWithALeanCache(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store {
		server := objects()
		return crd.New(crd.Options{Client: leanly(server), Live: server, Namespace: namespace})
	})
}

// What a cache leaves out of a run that has ended is there when somebody reads
// it, and is still there after the run was written.
func TestALeanRunLosesNothing(t *testing.T) {
	ctx := t.Context()
	server := objects()
	open := func() *crd.Store {
		return crd.New(crd.Options{Client: leanly(server), Live: server, Namespace: namespace})
	}
	run := storetest.NewRun(t, "shop", "shop-1")
	st := open()
	if err := st.Create(ctx, run, []record.Line{storetest.Line("began")}, nil); err != nil {
		t.Fatal(err)
	}
	run, err := st.Load(ctx, run.ID)
	if err != nil {
		t.Fatal(err)
	}
	run.State.Status, run.EndedAt = engine.RolledBack, recordtest.Start()
	run.State.Cause = []engine.Reason{{Rule: "intent", Message: "ana asked for a rollback"}}
	if _, err := st.Save(ctx, run, store.Change{}); err != nil {
		t.Fatal(err)
	}
	if err := st.SetArchived(ctx, run.ID, "/archive/shop-1"); err != nil {
		t.Fatal(err)
	}

	st = open() // one that knows the run from its cache alone
	var held serinv1.CanaryRun
	if err := leanly(server).Get(ctx, client.ObjectKey{Namespace: namespace, Name: run.ID}, &held); err != nil {
		t.Fatal(err)
	}
	if len(held.Status.State)+len(held.Status.Lines)+len(held.Status.Outbox) > 0 {
		t.Error("the cache holds the state of a run that is archived")
	}
	listed, err := st.Runs(ctx, run.Rollout, 0)
	if err != nil || len(listed) != 1 || listed[0].State.Status != engine.RolledBack || listed[0].EndedAt.IsZero() {
		t.Errorf("the run is listed as %+v, %v", listed, err)
	}
	if err := st.Append(ctx, run.ID, []record.Line{storetest.Line("began")}); err != nil {
		t.Fatal(err)
	}
	back, err := st.Load(ctx, run.ID)
	if err != nil || len(back.State.Cause) != 1 || back.State.Cause[0].Message != run.State.Cause[0].Message {
		t.Errorf("after a line was appended the state is %+v, %v", back.State, err)
	}
	if lines, err := st.Lines(ctx, run.ID, 0, 0); err != nil || len(lines) != 2 {
		t.Errorf("there are %d lines, want 2: %v", len(lines), err)
	}
}
