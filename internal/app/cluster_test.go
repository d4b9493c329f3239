package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
)

// objectsOf is a manager of which only its objects are asked for.
type objectsOf struct {
	ctrl.Manager
	objects client.Client
}

func (m objectsOf) GetClient() client.Client    { return m.objects }
func (m objectsOf) GetAPIReader() client.Reader { return m.objects }

// A controller ended between a run's end and the delivery of what it had to tell.
// The next one deals with the message as soon as it has looked at the rollout,
// and not when another run begins there.
func TestMessagesThatAnEarlierControllerLeftAreNotForgotten(t *testing.T) {
	objects := fake.NewClientBuilder().WithScheme(kube.Scheme()).WithStatusSubresource(&serinv1.CanaryRun{}).Build()
	earlier := crd.New(crd.Options{Client: objects, Namespace: "shop"})
	synctest.Test(t, func(t *testing.T) {
		run := store.Run{ID: "shop-1", Rollout: "shop", StartedAt: time.Now()}
		run.Spec.Metadata.Name = "shop"
		if err := earlier.Create(t.Context(), run, nil, []store.Outgoing{{
			ID: "m", To: "chat", Message: rollout.Message{ID: "m", Run: "shop-1", Rollout: "shop", Event: rollout.RolledBack},
		}}); err != nil {
			t.Fatal(err)
		}
		c := &cluster{
			opts: ControllerOptions{Keep: 10, Logger: slog.New(slog.DiscardHandler)}, mgr: objectsOf{objects: objects},
			stores: map[string]*crd.Store{}, outbox: runner.NewWaker(),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Start(ctx) }()
		synctest.Wait()
		r := rollout.Rollout{}
		r.Metadata.Name, r.Metadata.Namespace = "shop", "shop"
		if err := c.Prune(ctx, r); err != nil { // what a look at a rollout at rest ends with
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		// Nobody is called chat in that run, so the message is given up: it was
		// looked at.
		if due, err := earlier.Due(t.Context(), time.Now(), 0); err != nil || len(due) != 0 {
			t.Errorf("the outbox still holds %+v (%v)", due, err)
		}
	})
}
