package process

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// memoryLimit is the least memory, in bytes, that the control groups of a process
// leave it; 0 for no limit. A group that Serin is in too limits all of stable, the
// canary and Serin together, and so says nothing of one instance.
func memoryLimit(pid int) float64 { return limitIn(os.DirFS("/"), strconv.Itoa(pid)) }

// hierarchies are where Linux keeps limits of memory: in the one of version 2,
// and in that of version 1, which older systems have instead or beside it.
var hierarchies = []struct{ controller, root, file string }{
	{"", "sys/fs/cgroup", "memory.max"},
	{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"},
}

// limitIn reads a root file system of Linux.
func limitIn(root fs.FS, pid string) float64 {
	limit := 0.0
	for _, h := range hierarchies {
		group, shared := controlGroup(root, pid, h.controller), controlGroup(root, "self", h.controller)
		for ; group != "" && group != "/" && group != "." && group != shared && !strings.HasPrefix(shared, group+"/"); group = path.Dir(group) {
			text, err := fs.ReadFile(root, path.Join(h.root, group, h.file))
			if err != nil {
				continue
			}
			// Without a limit version 2 reads "max", and version 1 the most that there
			// can be.
			if v, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64); err == nil && v > 0 && v < mostBytes && (limit == 0 || v < limit) {
				limit = v
			}
		}
	}
	return limit
}

// controlGroup is where a process is in the hierarchy of a controller, "" for
// that of version 2; empty where that cannot be told.
func controlGroup(root fs.FS, pid, controller string) string {
	text, err := fs.ReadFile(root, "proc/"+pid+"/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		// Such as 0::/system.slice or 4:cpu,memory:/system.slice.
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return path.Clean(parts[2])
		}
	}
	return ""
}
