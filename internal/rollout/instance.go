package rollout

// Instance is one running copy of a version: a process, a URL, a pod.
type Instance struct {
	// Name is unique in the workload and stays the same for the instance's
	// life; samples by instance use it.
	Name string `json:"name"`
	// URL is where its requests go, such as http://127.0.0.1:9001; empty where
	// the router finds instances by itself.
	URL   string `json:"url,omitempty"`
	Ready bool   `json:"ready"`
}
