//go:build plane

package deployment_test

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/workloadtest"
)

func TestADeploymentConforms(t *testing.T) {
	workloadtest.Run(t, func(t *testing.T) workloadtest.Harness {
		w := newWorld(t, 2, real)
		w.image("sample:v2")
		w.begin()
		return workloadtest.Harness{
			Stable: "v1", Canary: "v2",
			Open: func(*testing.T) workload.Workload { return w.open() },
			SetReady: func(t *testing.T, i rollout.Instance, ready bool) {
				t.Helper()
				resp, err := http.PostForm(i.URL+"/fault", url.Values{"ready": {strconv.FormatBool(ready)}})
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			},
			Patience: limit,
		}
	})
}
