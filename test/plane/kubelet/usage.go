package kubelet

import (
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// usage is what a container uses, in the terms of cAdvisor.
type usage struct {
	cpu    float64 // seconds, all processes
	memory uint64  // bytes
}

// serveUsage answers with every container's usage as the real kubelet does.
// The series of a container begins anew with each of its starts.
func (k *Kubelet) serveUsage(w http.ResponseWriter, _ *http.Request) {
	used, err := groups()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	type series struct {
		labels string
		usage
		limit int64
	}
	var all []series
	for _, p := range k.all() {
		for _, c := range p.containers {
			c.mu.Lock()
			pid, id := c.pid, c.id
			c.mu.Unlock()
			if u, ok := used[pid]; ok && pid != 0 {
				all = append(all, series{fmt.Sprintf("container=%q,id=%q,image=%q,namespace=%q,pod=%q", c.spec.Name, id, c.spec.Image, p.namespace, p.name), u, c.spec.Resources.Limits.Memory().Value()})
			}
		}
	}
	now := time.Now().UnixMilli()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintln(w, "# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.\n# TYPE container_cpu_usage_seconds_total counter")
	for _, s := range all {
		fmt.Fprintf(w, "container_cpu_usage_seconds_total{%s,cpu=\"total\"} %g %d\n", s.labels, s.cpu, now)
	}
	fmt.Fprintln(w, "# HELP container_memory_working_set_bytes Current working set in bytes.\n# TYPE container_memory_working_set_bytes gauge")
	for _, s := range all {
		fmt.Fprintf(w, "container_memory_working_set_bytes{%s} %d %d\n", s.labels, s.memory, now)
	}
	fmt.Fprintln(w, "# HELP container_spec_memory_limit_bytes Memory limit for the container.\n# TYPE container_spec_memory_limit_bytes gauge")
	for _, s := range all {
		fmt.Fprintf(w, "container_spec_memory_limit_bytes{%s} %d %d\n", s.labels, s.limit, now)
	}
}

// groups returns what every group of processes uses, by its leader. A container
// is one group.
func groups() (map[int]usage, error) {
	pids, err := process.Pids()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	used := map[int]usage{}
	for _, pid := range pids {
		group, err := syscall.Getpgid(int(pid))
		if err != nil {
			continue // it has just ended
		}
		p := &process.Process{Pid: pid}
		times, err := p.Times()
		if err != nil {
			continue
		}
		memory, err := p.MemoryInfo()
		if err != nil {
			continue
		}
		u := used[group]
		u.cpu += times.User + times.System
		u.memory += memory.RSS
		used[group] = u
	}
	return used, nil
}
