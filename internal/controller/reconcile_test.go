package controller

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
)

// unfinishable cannot finish any promotion. Other than that it only notes what
// it is asked.
type unfinishable struct {
	Program
	carried, rolledBack []string
}

func (u *unfinishable) Finish(context.Context, types.NamespacedName) (bool, error) {
	return false, errors.New("the API server refuses it")
}

func (u *unfinishable) Carry(ctx context.Context, run types.NamespacedName, _ runner.Waker, _ func(runner.Look, error)) error {
	u.carried = append(u.carried, run.Name)
	<-ctx.Done()
	return ctx.Err()
}

func (u *unfinishable) RollBack(_ context.Context, run types.NamespacedName, _ string) error {
	u.rolledBack = append(u.rolledBack, run.Name)
	return nil
}

// An earlier run's promotion that cannot be finished keeps nobody from watching
// the run that goes on, nor from rolling it back.
func TestARunIsCarriedAlthoughAnEarlierOneCannotBeFinished(t *testing.T) {
	for name, deleted := range map[string]bool{"it goes on": false, "it was deleted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := func(name string, number int32) *serinv1.CanaryRun {
					r := &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{
						Namespace: "web", Name: name, Labels: map[string]string{serinv1.RolloutLabel: "shop"}, Finalizers: []string{serinv1.Finalizer},
					}}
					r.Spec.Rollout, r.Spec.Number = "shop", number
					return r
				}
				first, second := run("shop-1", 1), run("shop-2", 2)
				first.Status.Phase, first.Status.EndedAt = string(engine.Promoted), new(metav1.NowMicro())
				object := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop"}}
				objects := fake.NewClientBuilder().WithScheme(kube.Scheme()).WithObjects(object, first, second).Build()
				if deleted {
					if err := objects.Delete(t.Context(), second); err != nil {
						t.Fatal(err)
					}
				}
				program := &unfinishable{}
				opts := Options{
					Client: objects, Program: program, Logger: slog.New(slog.DiscardHandler),
					Parse: func(*serinv1.CanaryRollout) (r rollout.Rollout, _ []rollout.Problem, _ error) { return },
				}
				c := &Controller{Options: opts, runs: newRuns(opts)}
				c.runs.ended = func(types.NamespacedName) {}
				ctx, stop := context.WithCancel(t.Context())
				go c.runs.Start(ctx)
				synctest.Wait()
				if err := objects.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
					t.Fatal(err)
				}
				if err := c.look(ctx, &view{object: object}); err == nil || !strings.Contains(err.Error(), "refuses") {
					t.Errorf("the look ended with %v", err)
				}
				synctest.Wait()
				if got := strings.Join(program.carried, " "); got != "shop-2" {
					t.Errorf("carried %q, want shop-2", got)
				}
				want := ""
				if deleted {
					want = "shop-2"
				}
				if got := strings.Join(program.rolledBack, " "); got != want {
					t.Errorf("rolled back %q, want %q", got, want)
				}
				stop()
				synctest.Wait()
			})
		})
	}
}
