package kube

import (
	"encoding/json"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Revisions is what a run on a cluster is about: which version serves and which
// is to. It is the form of store.Run.Candidate there.
type Revisions struct {
	Stable serinv1.Revision `json:"stable"`
	Canary serinv1.Revision `json:"canary"`
}

// RevisionsOf reads what a run is about; both are empty when that was written
// elsewhere than on a cluster.
func RevisionsOf(candidate json.RawMessage) Revisions {
	var r Revisions
	if json.Unmarshal(candidate, &r) != nil {
		return Revisions{}
	}
	return r
}
