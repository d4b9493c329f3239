package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/server"
)

// What an API server refuses is a mistake of who asks, and a resource that it does
// not know is something that is not there. Exit codes hang on the difference.
func TestWhatAClusterAnswersIsToldApart(t *testing.T) {
	resource := schema.GroupResource{Group: "serin.dev", Resource: "canaryrollouts"}
	for name, c := range map[string]struct {
		answer *apierrors.StatusError
		want   server.Code
	}{
		"not allowed":        {apierrors.NewForbidden(resource, "shop", nil), server.CodeForbidden},
		"not known who":      {apierrors.NewUnauthorized("log in"), server.CodeForbidden},
		"not well":           {apierrors.NewServiceUnavailable("busy"), server.CodeUnavailable},
		"Serin is not there": {nil, server.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch r.URL.Path {
				case "/api":
					_ = json.NewEncoder(w).Encode(metav1.APIVersions{Versions: []string{"v1"}})
				case "/apis":
					list := metav1.APIGroupList{}
					if c.answer != nil {
						version := metav1.GroupVersionForDiscovery{GroupVersion: "serin.dev/v1alpha1", Version: "v1alpha1"}
						list.Groups = []metav1.APIGroup{{Name: "serin.dev", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}
					}
					_ = json.NewEncoder(w).Encode(list)
				case "/apis/serin.dev/v1alpha1":
					if c.answer == nil {
						w.WriteHeader(http.StatusNotFound)
						return
					}
					_ = json.NewEncoder(w).Encode(metav1.APIResourceList{GroupVersion: "serin.dev/v1alpha1", APIResources: []metav1.APIResource{
						{Name: "canaryrollouts", Kind: "CanaryRollout", Namespaced: true}, {Name: "canaryruns", Kind: "CanaryRun", Namespaced: true},
					}})
				default:
					if c.answer == nil {
						w.WriteHeader(http.StatusNotFound)
						return
					}
					w.WriteHeader(int(c.answer.ErrStatus.Code))
					_ = json.NewEncoder(w).Encode(c.answer.ErrStatus)
				}
			}))
			defer api.Close()
			backend, err := Cluster(&kube.Connection{Config: &rest.Config{Host: api.URL}, Namespace: "default", Server: api.URL})
			if err != nil {
				t.Fatal(err)
			}
			cl := server.NewClient(server.InProcess(server.New(backend, "test"), server.CurrentUser()))
			if _, err := cl.Rollout(t.Context(), "shop"); !server.HasCode(err, c.want) {
				t.Errorf("asked for a rollout: %v, want the code %s", err, c.want)
			}
			if _, err := cl.Release(t.Context(), "shop", server.ReleaseRequest{Version: "v2"}); !server.HasCode(err, c.want) {
				t.Errorf("asked for a release: %v, want the code %s", err, c.want)
			}
			if _, err := cl.Runs(t.Context(), "shop", 1); !server.HasCode(err, c.want) {
				t.Errorf("asked for the runs: %v, want the code %s", err, c.want)
			}
		})
	}
}
