// Package doctor looks for what is missing for a rollout to work, on this
// machine or in a cluster, and says how each can be mended. It writes nothing.
//
// It must not know adapters: what only they can tell, such as whether Prometheus
// has the series of the version that serves, is handed in as a function.
package doctor

import "fmt"

// State is how one thing is.
type State string

const (
	// OK: nothing is missing.
	OK State = "ok"
	// Warning: it works, and a person should know.
	Warning State = "warning"
	// Missing: without it a rollout does not work.
	Missing State = "missing"
	// Unknown: it could not be looked at.
	Unknown State = "not checked"
)

// Finding is what one check found.
type Finding struct {
	// Check is what was looked at, in a few words.
	Check string `json:"check"`
	// About is the rollout, as NAMESPACE/NAME or a file; empty: all of it.
	About string `json:"about,omitempty"`
	State State  `json:"state"`
	// Message says what was found.
	Message string `json:"message"`
	// Mend is what to do about it.
	Mend string `json:"mend,omitempty"`
}

// Worst is the state that counts of many findings.
func Worst(all []Finding) State {
	worst := OK
	for _, f := range all {
		switch {
		case f.State == Missing:
			return Missing
		case f.State != OK:
			worst = Warning
		}
	}
	return worst
}

// findings collects what checks find.
type findings struct {
	about string
	all   []Finding
}

func (f *findings) add(state State, check, mend, format string, args ...any) {
	f.all = append(f.all, Finding{Check: check, About: f.about, State: state, Message: fmt.Sprintf(format, args...), Mend: mend})
}

func (f *findings) ok(check, format string, args ...any) { f.add(OK, check, "", format, args...) }
