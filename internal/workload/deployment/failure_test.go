//go:build plane

package deployment_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/deployment"
)

var errTooFew = errors.New("there are too few ReplicaSets")

func TestACrashLoopFailsTheCanaryAndItsLogsAreThere(t *testing.T) {
	w := newWorld(t, 2, real)
	w.kubectl("patch", "deployment", "shop", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"sample:v2"},{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"-panic=out of stock"}]`)
	w.begin()
	st := w.until(at(100, 5), "the crash loop is seen", func(st workload.Status) bool { return st.Canary.Failed != "" })
	if st.Canary.Restarts == 0 || !contains(st.Canary.Failed, "container main keeps ending") || st.Canary.Capacity != 0 {
		t.Errorf("the canary is %+v, want restarts and a reason", st.Canary)
	}
	if st.Stable.Capacity != 100 || st.Stable.Failed != "" || st.Stable.Restarts != 0 {
		t.Errorf("stable is %+v, want it untouched", st.Stable)
	}
	logs := map[string]string{}
	err := w.w.Logs(t.Context(), rollout.Canary, func(name string, open func() (io.ReadCloser, error)) error {
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		logs[name] = string(text)
		return err
	})
	if previous := names(st.Canary)[0] + "-main-previous.log"; !contains(logs[previous], "panic: out of stock") {
		t.Errorf("logs are %v (%v), want the panic in %s", logs, err, previous)
	}
	w.until(at(100, 0), "the canary is gone", is(100, 0, 0))
}

func TestWhatWaitingMayMendIsADetail(t *testing.T) {
	t.Run("an image that is not there", func(t *testing.T) {
		w := newWorld(t, 2, real)
		w.image("does-not-exist:v2")
		w.begin()
		st := w.until(at(100, 5), "the missing image is told", func(st workload.Status) bool {
			return contains(st.Canary.Detail, "cannot get its image does-not-exist:v2")
		})
		if st.Canary.Failed != "" || st.Canary.Capacity != 0 || st.Stable.Capacity != 100 {
			t.Errorf("it is %+v, want no failure, no capacity and a full stable", st)
		}
	})
	t.Run("a quota", func(t *testing.T) {
		w := newWorld(t, 2)
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "few"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}},
		}
		if err := w.admin.Create(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the quota counts", func() error {
			if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(quota), quota); err != nil || quota.Status.Used == nil {
				return errors.Join(err, errTooFew)
			}
			return nil
		})
		w.image("sample:v2")
		w.begin()
		st := w.until(at(100, 5), "the quota is told", func(st workload.Status) bool { return contains(st.Canary.Detail, "exceeded quota: few") })
		if st.Canary.Failed != "" || st.Stable.Capacity != 100 {
			t.Errorf("it is %+v, want no failure and a full stable", st)
		}
		quota.Spec.Hard[corev1.ResourcePods] = resource.MustParse("10")
		if err := w.admin.Update(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		w.until(at(100, 5), "the canary is made after all", is(100, 5, 1))
	})
}

func TestATemplateThatIsNeverAdmittedFailsTheCanary(t *testing.T) {
	w := newWorld(t, 2)
	w.kubectl("label", "namespace", w.ns, "pod-security.kubernetes.io/enforce=baseline")
	w.kubectl("patch", "deployment", "shop", "--type=json", "-p", `[{"op":"add","path":"/spec/template/spec/hostNetwork","value":true}]`)
	w.begin()
	st := w.until(at(100, 5), "the refusal is told", func(st workload.Status) bool { return st.Canary.Failed != "" })
	if !contains(st.Canary.Failed, "violates PodSecurity", "hostNetwork") || st.Stable.Capacity != 100 {
		t.Errorf("it is %+v, want what the API server said, and a full stable", st)
	}
	w.until(at(100, 0), "the canary is gone", is(100, 0, 0))
}

// errCrash is where Serin dies.
var errCrash = errors.New("killed")

// mortal is a client under which Serin dies right before or right after its
// n-th write.
func mortal(t *testing.T, env deployment.Env, n int32, after bool) deployment.Env {
	t.Helper()
	var writes atomic.Int32
	write := func(do func() error) error {
		at := writes.Add(1)
		if at > n || at == n && !after {
			return errCrash
		}
		err := do()
		if at == n {
			return errors.Join(errCrash, err)
		}
		return err
	}
	env.Client = writing(t, env.Client, write)
	return env
}

// counted is a client whose writes are counted.
func counted(t *testing.T, inner client.Client, writes *atomic.Int32) client.Client {
	t.Helper()
	return writing(t, inner, func(do func() error) error {
		writes.Add(1)
		return do()
	})
}

// writing is a client that reads from inner and makes every write through
// write.
func writing(t *testing.T, inner client.Client, write func(do func() error) error) client.Client {
	t.Helper()
	watching, err := client.NewWithWatch(serin, client.Options{Scheme: inner.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return interceptor.NewClient(watching, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return inner.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return inner.List(ctx, list, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return write(func() error { return c.Delete(ctx, o, opts...) })
		},
	})
}

// A Serin that dies at any write of a release, before or after it, and starts
// again comes to the same end: each life makes one write.
func TestAPromotionSurvivesACrashAtEveryWrite(t *testing.T) {
	for _, last := range []string{"", "sample:v3"} {
		t.Run("last moment "+last, func(t *testing.T) {
			w := newWorld(t, 3)
			w.image("sample:v2")
			w.begin()
			env := w.env
			lives := 0
			step := func(want workload.Want) (workload.Status, error) {
				lives++
				w.env = mortal(t, env, 1, lives%2 == 0) // every other life is no use at all
				w.env.Events = nil
				err := w.open().Apply(t.Context(), want)
				if errors.Is(err, errCrash) {
					err = nil
				}
				st, errObserve := w.w.Observe(t.Context())
				return st, errors.Join(err, errObserve)
			}
			to := func(want workload.Want, what string, ok func(workload.Status) bool) (st workload.Status) {
				t.Helper()
				eventually(t, what, func() error {
					var err error
					if st, err = step(want); err == nil && !ok(st) {
						err = errors.New("not yet")
					}
					return err
				})
				return st
			}
			tested := to(at(100, 100), "the canary is complete", is(100, 100, 3))
			if last != "" {
				w.image(last)
			}
			to(promoted, "the old version is gone", func(st workload.Status) bool {
				if st.Canary.Ready() < 3 {
					t.Fatalf("the tested pods are %+v: fewer than serve", st.Canary)
				}
				return len(st.Stable.Instances) == 0 && len(w.podNames()) == 3 && (last != "" || !w.deployment().Spec.Paused)
			})
			if got := w.podNames(); !slices.Equal(got, names(tested.Canary)) {
				t.Errorf("pods %v serve, want the tested ones %v", got, names(tested.Canary))
			}
			if last == "" {
				w.serves()
			} else if !w.deployment().Spec.Paused {
				t.Error("the template of the last moment was released")
			}
			if lives < 4 {
				t.Errorf("Serin lived %d times, which is too few to have crashed everywhere", lives)
			}
		})
	}
}

func TestARollbackSurvivesACrashAtEveryWrite(t *testing.T) {
	w := newWorld(t, 3, func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType })
	w.image("sample:v2")
	w.begin()
	before := w.until(at(100, 50), "the canary has its pods", is(100, 50, 2))
	env, lives := w.env, 0
	eventually(t, "the canary is gone", func() error {
		lives++
		w.env = mortal(t, env, 1, lives%2 == 0)
		w.env.Events = nil
		err := w.open().Apply(t.Context(), at(100, 0))
		if _, there := w.sets()[w.run.Canary.ReplicaSet]; there {
			return errors.Join(err, errTooFew)
		}
		return nil
	})
	eventually(t, "its pods are gone", func() error {
		if len(w.podNames()) != 3 {
			return errTooFew
		}
		return nil
	})
	w.oldStays(before)
}
