//go:build plane

package crd_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/crd"
	"serin.dev/serin/internal/store/storetest"
	"serin.dev/serin/test/plane"
)

var cluster *plane.Plane

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	_ = flag.Set("test.parallel", "6") // what they do is mostly wait
	os.Exit(plane.Run(m, plane.Options{Manifests: []string{"../../kube/crds"}, NoControllers: true}, &cluster))
}

var folders atomic.Int64

// newNamespace makes a namespace in which the user "store" may do what the
// store's rules say and nothing else, and returns how to reach it as that user.
func newNamespace(t *testing.T) (string, *rest.Config) {
	t.Helper()
	admin := clientFor(t, cluster.Admin)
	name := fmt.Sprintf("s%d", folders.Add(1))
	must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	in := metav1.ObjectMeta{Namespace: name, Name: "store"}
	_, err := cluster.Client.RbacV1().Roles(name).Create(t.Context(), &rbacv1.Role{ObjectMeta: in, Rules: crd.Rules()}, metav1.CreateOptions{})
	must(t, err)
	_, err = cluster.Client.RbacV1().RoleBindings(name).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: in, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "store"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "store"}},
	}, metav1.CreateOptions{})
	must(t, err)
	awaitRights(t, name, "store", crd.Rules())
	return name, cluster.User("store")
}

// awaitRights waits until the API server acts by the rights that were given to
// a user: it learns of them from a watch of its own.
func awaitRights(t *testing.T, namespace, user string, rules []rbacv1.PolicyRule) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, r := range rules {
		resource, sub, _ := strings.Cut(r.Resources[0], "/")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: resource, Subresource: sub,
			},
		}}
		for {
			got, err := cluster.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
			must(t, err)
			if got.Status.Allowed {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s may not %s %s in %s after a minute: %s", user, r.Verbs[0], r.Resources[0], namespace, got.Status.Reason)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func clientFor(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: kube.Scheme()})
	must(t, err)
	return c
}

// cached opens a store as the controller does: it reads runs from a cache.
func cached(t *testing.T, namespace string, config *rest.Config) *crd.Store {
	t.Helper()
	c, err := cache.New(config, cache.Options{Scheme: kube.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	_, err = c.GetInformer(ctx, new(serinv1.CanaryRun), cache.BlockUntilSynced(false))
	must(t, err)
	go func() { _ = c.Start(ctx) }()
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not fill")
	}
	reading, err := client.New(config, client.Options{Scheme: kube.Scheme(), Cache: &client.CacheOptions{Reader: c}})
	must(t, err)
	return crd.New(crd.Options{Client: reading, Live: clientFor(t, config), Namespace: namespace})
}

func TestConformsOnAnAPIServer(t *testing.T) {
	t.Parallel()
	t.Run("asking it each time", func(t *testing.T) {
		open := func(t *testing.T) store.Store {
			t.Parallel()
			namespace, config := newNamespace(t)
			return crd.New(crd.Options{Client: clientFor(t, config), Namespace: namespace})
		}
		storetest.Run(t, open)
		storetest.RunDurable(t, shared(func(t *testing.T, namespace string, config *rest.Config) store.Store {
			return crd.New(crd.Options{Client: clientFor(t, config), Namespace: namespace})
		}))
	})
	t.Run("reading from a cache", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			t.Parallel()
			namespace, config := newNamespace(t)
			return cached(t, namespace, config)
		})
		storetest.RunDurable(t, shared(func(t *testing.T, namespace string, config *rest.Config) store.Store {
			return cached(t, namespace, config)
		}))
	})
}

// shared opens stores on one namespace a folder.
func shared(open func(*testing.T, string, *rest.Config) store.Store) func(*testing.T, string) store.Store {
	type place struct {
		namespace string
		config    *rest.Config
	}
	places := map[string]place{}
	return func(t *testing.T, dir string) store.Store {
		p, ok := places[dir]
		if !ok {
			p.namespace, p.config = newNamespace(t)
			places[dir] = p
		}
		return open(t, p.namespace, p.config)
	}
}

func TestNoLineIsLostOrDoubledOnAnAPIServer(t *testing.T) {
	t.Parallel()
	crashEverywhere(t, func(t *testing.T) (client.WithWatch, string) {
		namespace, config := newNamespace(t)
		return clientFor(t, config), namespace
	}, 7)
}

// requests are those that reached the API server; watches are opened once and do
// not count.
type requests struct {
	mu   sync.Mutex
	list []string
}

func (q *requests) counted(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("watch") == "" {
				q.mu.Lock()
				q.list = append(q.list, r.Method+" "+r.URL.Path)
				q.mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

// take returns the requests since the last time.
func (q *requests) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestALookIsOneRequestAndIdlingNone(t *testing.T) {
	t.Parallel()
	namespace, config := newNamespace(t)
	var asked requests
	s := cached(t, namespace, asked.counted(config))
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), []record.Line{storetest.Line("header")}, nil))
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	// A run that the cache does not show yet is asked for, so that one that was
	// deleted is not gone on with. From when it shows, nothing is.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		asked.take()
		if _, err := s.Intents(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if len(asked.take()) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache does not show the run after a minute")
		}
	}
	const looks = 20
	for i := range looks {
		if _, err := s.Intents(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		r.Version, err = s.Save(t.Context(), r, store.Change{Lines: []record.Line{storetest.Line(fmt.Sprint(i))}})
		must(t, err)
	}
	if list := asked.take(); len(list) != looks {
		t.Errorf("%d looks took %d requests: %s", looks, len(list), strings.Join(list, ", "))
	}
	// From when the cache shows the latest write.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		asked.take()
		_, err := s.Active(t.Context(), "shop")
		must(t, err)
		if _, err := s.Lines(t.Context(), r.ID, 5, 0); err != nil {
			t.Fatal(err)
		}
		if len(asked.take()) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the cache does not show the latest write after a minute")
		}
	}
	for range 50 {
		_, err := s.Due(t.Context(), time.Now(), 100)
		must(t, err)
		_, err = s.Active(t.Context(), "shop")
		must(t, err)
		_, err = s.Intents(t.Context(), r.ID)
		must(t, err)
		_, err = s.Lines(t.Context(), r.ID, 5, 0)
		must(t, err)
	}
	if list := asked.take(); len(list) != 0 {
		t.Errorf("looking at what did not change took requests: %s", strings.Join(list, ", "))
	}
}

// However much a run was asked for, a rollback has room.
func TestARollbackHasRoomInARunFullOfIntents(t *testing.T) {
	t.Parallel()
	namespace, config := newNamespace(t)
	s := crd.New(crd.Options{Client: clientFor(t, config), Namespace: namespace})
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), []record.Line{storetest.Line("header")}, nil))
	var asked []string
	for i := range 100 {
		asked = append(asked, fmt.Sprintf(`{"id":"%d","intent":"pause"}`, i))
	}
	kubectl := func(patch string) error {
		_, err := cluster.Kubectl(t.Context(), "-n", namespace, "patch", "crun", "shop-1", "--type=json", "-p", patch)
		return err
	}
	must(t, kubectl(`[{"op":"add","path":"/spec/intents","value":[`+strings.Join(asked, ",")+`]}]`))
	const full = "only a rollback is taken now"
	if err := kubectl(`[{"op":"add","path":"/spec/intents/-","value":{"id":"more","intent":"resume"}}]`); err == nil || !strings.Contains(err.Error(), full) {
		t.Errorf("the 101st intent: %v, want %q", err, full)
	}
	if err := s.AddIntent(t.Context(), "shop-1", rollout.Intent{ID: "more", Kind: rollout.Resume}); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), full) {
		t.Errorf("the 101st intent: %v, want %q", err, full)
	}
	must(t, s.AddIntent(t.Context(), "shop-1", rollout.Intent{ID: "back", Kind: rollout.Rollback, Actor: "li"}))
	must(t, kubectl(`[{"op":"add","path":"/spec/intents/-","value":{"id":"again","intent":"rollback"}}]`))
	open, err := s.Intents(t.Context(), "shop-1")
	must(t, err)
	if len(open) != 102 || open[100].ID != "back" || open[100].Kind != rollout.Rollback {
		t.Fatalf("%d intents are open, want 102 and the last but one the rollback", len(open))
	}
	var answers []engine.Answer
	for _, i := range open {
		answers = append(answers, engine.Answer{ID: i.ID, Accepted: true})
	}
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	_, err = s.Save(t.Context(), r, store.Change{Answered: answers})
	must(t, err)
	if open, err = s.Intents(t.Context(), "shop-1"); err != nil || len(open) > 0 {
		t.Errorf("%d intents are open after their answers: %v", len(open), err)
	}
}

func TestAnIntentWrittenWithKubectl(t *testing.T) {
	t.Parallel()
	namespace, config := newNamespace(t)
	s := cached(t, namespace, config)
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), []record.Line{storetest.Line("header")}, nil))
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	kubectl := func(args ...string) (string, error) {
		return cluster.Kubectl(t.Context(), append([]string{"-n", namespace}, args...)...)
	}
	_, err = kubectl("patch", "crun", "shop-1", "--type=json", "-p", `[{"op":"add","path":"/spec/intents","value":[{"id":"1","intent":"pause","reason":"lunch"}]}]`)
	must(t, err)
	_, err = kubectl("patch", "crun", "shop-1", "--type=json", "-p", `[{"op":"add","path":"/spec/intents/-","value":{"id":"2","intent":"rollback","actor":"maria"}}]`)
	must(t, err)

	var open []rollout.Intent
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if open, err = s.Intents(t.Context(), "shop-1"); err != nil || len(open) == 2 {
			break
		}
	}
	must(t, err)
	if len(open) != 2 || open[0].Kind != rollout.Pause || open[0].Reason != "lunch" || !strings.HasPrefix(open[0].Actor, "kubectl") || open[1].Actor != "maria" {
		t.Fatalf("heard %+v", open)
	}
	for _, i := range open {
		if age := time.Since(i.At); age < -time.Minute || age > 5*time.Minute {
			t.Errorf("%s was asked at %v", i.ID, i.At)
		}
	}
	// The person's write is no conflict for who saves, and the lines come once.
	for range 2 {
		r.Version, err = s.Save(t.Context(), r, store.Change{Answered: []engine.Answer{{ID: "1", Accepted: true}}})
		must(t, err)
	}
	lines, err := s.Lines(t.Context(), "shop-1", 0, 0)
	must(t, err)
	if len(lines) != 3 || !strings.Contains(string(lines[1]), "lunch") || !strings.Contains(string(lines[2]), "maria") {
		t.Errorf("the record is %s", recordtest.Join(lines))
	}

	for _, c := range []struct{ name, patch, message string }{
		{"changed", `[{"op":"replace","path":"/spec/intents/0/intent","value":"promote"}]`, "an intent does not change once it was asked"},
		{"taken back", `[{"op":"remove","path":"/spec/intents/0"}]`, "an intent cannot be taken back"},
		{"all taken back", `[{"op":"remove","path":"/spec/intents"}]`, "an intent cannot be taken back"},
		{"of an unknown kind", `[{"op":"add","path":"/spec/intents/-","value":{"id":"3","intent":"explode"}}]`, "explode"},
		{"with an id that is taken", `[{"op":"add","path":"/spec/intents/-","value":{"id":"1","intent":"promote"}}]`, "Duplicate value"},
	} {
		if _, err := kubectl("patch", "crun", "shop-1", "--type=json", "-p", c.patch); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("an intent %s: %v, want %q", c.name, err, c.message)
		}
	}
	for _, field := range []string{`"rollout":"other"`, `"number":7`, `"stable":{"version":"x","hash":"y"}`, `"canary":{"version":"x","hash":"y"}`, `"startedAt":"2030-01-01T00:00:00.000000Z"`, `"pinned":{"spec":{"plan":{"prepare":"1s"}}}`, `"begin":"AAAA"`, `"actor":"other"`} {
		if _, err := kubectl("patch", "crun", "shop-1", "--type=merge", "-p", `{"spec":{`+field+`}}`); err == nil || !strings.Contains(err.Error(), "never changes") {
			t.Errorf("changing %s: %v", field, err)
		}
	}
	out, err := kubectl("get", "serin")
	must(t, err)
	for _, word := range []string{"PHASE", "WEIGHT", "VERDICT", "REASON", "AGE", "shop-1", "progressing"} {
		if !strings.Contains(out, word) {
			t.Errorf("kubectl get serin has no %s:\n%s", word, out)
		}
	}
}

func TestWhoMayNotIsToldWhatToGrant(t *testing.T) {
	t.Parallel()
	namespace, config := newNamespace(t)
	s := crd.New(crd.Options{Client: clientFor(t, config), Namespace: namespace})
	must(t, s.Create(t.Context(), storetest.NewRun(t, "shop", "shop-1"), nil, nil))
	r, err := s.Load(t.Context(), "shop-1")
	must(t, err)
	nobody := crd.New(crd.Options{Client: clientFor(t, cluster.User("nobody")), Namespace: namespace})
	if _, err := nobody.Load(t.Context(), "shop-1"); err == nil || !strings.Contains(err.Error(), `grant the verb "get" on "canaryruns"`) {
		t.Errorf("reading: %v", err)
	}

	// A person who may ask and read, and no more.
	in := metav1.ObjectMeta{Namespace: namespace, Name: "person"}
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"serin.dev"}, Resources: []string{"canaryruns"}, Verbs: []string{"get", "list", "patch"}}}
	_, err = cluster.Client.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: in, Rules: rules}, metav1.CreateOptions{})
	must(t, err)
	_, err = cluster.Client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: in, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "person"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "maria"}},
	}, metav1.CreateOptions{})
	must(t, err)
	awaitRights(t, namespace, "maria", rules)
	person := crd.New(crd.Options{Client: clientFor(t, cluster.User("maria")), Namespace: namespace})
	if _, err := person.Save(t.Context(), r, store.Change{}); err == nil || !strings.Contains(err.Error(), `grant the verb "update" on "canaryruns/status"`) {
		t.Errorf("saving: %v", err)
	}
	must(t, person.AddIntent(t.Context(), "shop-1", rollout.Intent{ID: "i", Kind: rollout.Rollback, Actor: "maria"}))
	if _, err := s.Save(t.Context(), r, store.Change{}); err != nil {
		t.Fatal(err)
	}
	lines, err := s.Lines(t.Context(), "shop-1", 0, 0)
	must(t, err)
	if len(lines) != 1 || !strings.Contains(string(lines[0]), "maria") {
		t.Errorf("the record is %s", recordtest.Join(lines))
	}
}

func TestAnAPIServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	config := rest.CopyConfig(cluster.Admin)
	_, there := newNamespace(t)
	config.Host = "https://127.0.0.1:1"
	reach := clientFor(t, there)
	s := crd.New(crd.Options{Client: reach, Namespace: "none"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Load(ctx, "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a context that is over: %v", err)
	}
	down, err := client.New(config, client.Options{Scheme: kube.Scheme(), Mapper: reach.RESTMapper()})
	must(t, err)
	s = crd.New(crd.Options{Client: down, Namespace: "none"})
	began := time.Now()
	for what, err := range map[string]error{
		"Create":    s.Create(t.Context(), storetest.NewRun(t, "shop", "a"), nil, nil),
		"Append":    s.Append(t.Context(), "a", []record.Line{storetest.Line("x")}),
		"AddIntent": s.AddIntent(t.Context(), "a", rollout.Intent{ID: "1", Kind: rollout.Pause}),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}
