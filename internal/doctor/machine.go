package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"serin.dev/serin/internal/rollout"
)

// MachineOptions say what is looked at on this machine.
type MachineOptions struct {
	// State is the folder where state lives.
	State string
	// Daemon: serin serve runs with that folder. Serving are the rollouts that it
	// or a foreground run serves, whose addresses are theirs.
	Daemon  bool
	Serving map[string]bool
	// Files are rollouts with the file they are in.
	Files map[string][]rollout.Rollout
}

// The space below which a person should know, and below which records cannot be
// written for long.
const (
	lowSpace  = 1 << 30
	fullSpace = 64 << 20
)

// Machine looks at this machine.
func Machine(ctx context.Context, o MachineOptions) []Finding {
	m := &machine{MachineOptions: o}
	m.folder()
	m.daemon()
	for file, rollouts := range o.Files {
		for _, r := range rollouts {
			m.about = file + ": " + r.Metadata.Name
			m.rollout(ctx, file, r)
		}
	}
	return m.all
}

type machine struct {
	MachineOptions
	findings
}

// folder looks at the state folder, which need not be there yet.
func (m *machine) folder() {
	const check = "state folder"
	dir := m.State
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			m.add(Missing, check, "name another folder with --state", "%s is no folder", dir)
			return
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			m.add(Missing, check, "name another folder with --state", "%v", err)
			return
		}
		dir = filepath.Dir(dir)
	}
	// What may be written is best known by writing.
	f, err := os.CreateTemp(dir, ".serin-doctor-*")
	if err != nil {
		m.add(Missing, check, "give this user the right to write there, or name another folder with --state", "%v", err)
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if dir == m.State {
		m.ok(check, "%s can be written", m.State)
	} else {
		m.ok(check, "%s is not there yet and can be made", m.State)
	}
	free, known := freeSpace(dir)
	switch {
	case !known:
	case free < fullSpace:
		m.add(Missing, "disk space", "make room, or name another folder with --state", "%d MiB are free for %s; records and logs cannot be kept", free>>20, m.State)
	case free < lowSpace:
		m.add(Warning, "disk space", "make room", "%d MiB are free for %s", free>>20, m.State)
	default:
		m.ok("disk space", "%d GiB are free", free>>30)
	}
}

func (m *machine) daemon() {
	if m.Daemon {
		m.ok("daemon", "serin serve answers")
		return
	}
	m.ok("daemon", "no serin serve runs with this state folder; `serin release` needs it, `serin run` does not")
}

// rollout looks at what one rollout of a file needs here.
func (m *machine) rollout(ctx context.Context, file string, r rollout.Rollout) {
	m.ok("file", "is well-formed")
	m.listen(ctx, r)
	m.programs(file, r)
}

// listen tries the address on which users are to be served.
func (m *machine) listen(ctx context.Context, r rollout.Rollout) {
	const check = "address"
	var proxy struct {
		Listen string `json:"listen"`
	}
	if json.Unmarshal(r.Spec.Traffic.Config, &proxy) != nil || proxy.Listen == "" {
		return
	}
	if m.Serving[r.Metadata.Name] {
		m.ok(check, "%s is served by the serin that runs", proxy.Listen)
		return
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", proxy.Listen)
	if err != nil {
		m.add(Missing, check, "end what listens there, or choose another address in spec.traffic.proxy.listen", "%s cannot be listened on: %v", proxy.Listen, err)
		return
	}
	_ = l.Close()
	m.ok(check, "%s is free", proxy.Listen)
}

// programs looks for the programs of both versions.
func (m *machine) programs(file string, r rollout.Rollout) {
	const check = "program"
	if r.Spec.Workload.Kind != "process" {
		return
	}
	var versions map[string]struct {
		Command []string `json:"command"`
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(r.Spec.Workload.Config, &raw) != nil {
		return
	}
	for arm := range raw {
		if arm != string(rollout.Stable) && arm != string(rollout.Canary) {
			delete(raw, arm)
		}
	}
	data, err := json.Marshal(raw)
	if err != nil || json.Unmarshal(data, &versions) != nil {
		return
	}
	for arm, v := range versions {
		if len(v.Command) == 0 || strings.Contains(v.Command[0], "$(") {
			continue
		}
		path := v.Command[0]
		if strings.Contains(path, "/") && !filepath.IsAbs(path) {
			// With a slash it is a file and never looked up in PATH.
			if abs, err := filepath.Abs(filepath.Join(filepath.Dir(file), path)); err == nil {
				path = abs
			}
		}
		if _, err := exec.LookPath(path); err != nil {
			m.add(Missing, check, fmt.Sprintf("build or install it, or correct spec.workload.process.%s.command", arm), "the program of %s cannot be started: %v", arm, err)
			continue
		}
		m.ok(check, "%s is there (%s)", path, arm)
	}
}
