package process

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// memoryLimit is the least memory, in bytes, that the control groups of a process
// leave it; 0 for no limit. A group that Serin is in too limits all of stable, the
// canary and Serin together, and so says nothing of one instance.
func memoryLimit(pid int) float64 { return limitIn(os.DirFS("/"), strconv.Itoa(pid)) }

// limitIn reads a root file system of Linux, with the one hierarchy of control
// groups (version 2).
func limitIn(root fs.FS, pid string) float64 {
	group, shared := controlGroup(root, pid), controlGroup(root, "self")
	limit := 0.0
	for ; group != "" && group != "/" && group != "." && group != shared && !strings.HasPrefix(shared, group+"/"); group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "memory.max"))
		if err != nil {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64); err == nil && v > 0 && (limit == 0 || v < limit) {
			limit = v // without a limit it reads "max"
		}
	}
	return limit
}

// controlGroup is where a process is; empty where that cannot be told.
func controlGroup(root fs.FS, pid string) string {
	text, err := fs.ReadFile(root, "proc/"+pid+"/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path.Clean(group)
		}
	}
	return ""
}
