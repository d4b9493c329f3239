package process

import (
	"testing"
	"testing/fstest"
)

func TestAnInstancesMemoryLimitIsItsOwn(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	root := fstest.MapFS{
		"proc/self/cgroup":                                            file("0::/system.slice/serin.service\n"),
		"sys/fs/cgroup/system.slice/memory.max":                       file("1000\n"),
		"sys/fs/cgroup/system.slice/serin.service/memory.max":         file("2000\n"),
		"sys/fs/cgroup/system.slice/serin.service/shop.v1/memory.max": file("300\n"),
		"sys/fs/cgroup/shops/memory.max":                              file("700\n"),
		"sys/fs/cgroup/shops/a/memory.max":                            file("900\n"),
		"sys/fs/cgroup/shops/a/inner/memory.max":                      file("max\n"),
		"proc/1/cgroup":                                               file("0::/system.slice/serin.service\n"),         // Serin's own limit is for all
		"proc/2/cgroup":                                               file("0::/system.slice/serin.service/shop.v1\n"), // one of its own, below that
		"proc/3/cgroup":                                               file("0::/shops/a/inner\n"),                      // the least of those above
		"proc/4/cgroup":                                               file("0::/\n"),
		"proc/5/cgroup":                                               file("4:memory:/old\n0::/gone\n"), // nothing there
		"proc/6/cgroup":                                               file("nonsense\n::\n"),
	}
	for pid, want := range map[string]float64{"1": 0, "2": 300, "3": 700, "4": 0, "5": 0, "6": 0, "7": 0} {
		if got := limitIn(root, pid); got != want {
			t.Errorf("process %s may use %v, want %v", pid, got, want)
		}
	}
}

// Older systems have version 1 alone, or for memory beside version 2.
func TestLimitsOfVersion1AreReadToo(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const none = "9223372036854771712\n"
	root := fstest.MapFS{
		"proc/self/cgroup":                           file("9:name=systemd:/system.slice/serin.service\n4:cpu,memory:/system.slice/serin.service\n"),
		"sys/fs/cgroup/memory/memory.limit_in_bytes": file(none),
		"sys/fs/cgroup/memory/system.slice/serin.service/memory.limit_in_bytes": file("2000\n"),
		"sys/fs/cgroup/memory/shops/memory.limit_in_bytes":                      file("700\n"),
		"sys/fs/cgroup/memory/shops/a/memory.limit_in_bytes":                    file(none),
		"sys/fs/cgroup/memory/a:b/memory.limit_in_bytes":                        file("900\n"),
		"sys/fs/cgroup/both/memory.max":                                         file("500\n"),
		"proc/1/cgroup":                                                         file("4:cpu,memory:/system.slice/serin.service\n"), // Serin's own
		"proc/2/cgroup":                                                         file("5:cpuset:/other\n4:memory,cpu:/shops/a\n"),
		"proc/3/cgroup":                                                         file("4:memory:/a:b\n"),
		"proc/4/cgroup":                                                         file("4:memory:/shops\n0::/both\n"),
		"proc/5/cgroup":                                                         file("5:cpuset:/shops\n"), // of memory nothing is said
	}
	for pid, want := range map[string]float64{"1": 0, "2": 700, "3": 900, "4": 500, "5": 0} {
		if got := limitIn(root, pid); got != want {
			t.Errorf("process %s may use %v, want %v", pid, got, want)
		}
	}
}
