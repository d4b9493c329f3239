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
	}
	for pid, want := range map[string]float64{"1": 0, "2": 300, "3": 700, "4": 0, "5": 0, "6": 0} {
		if got := limitIn(root, pid); got != want {
			t.Errorf("process %s may use %v, want %v", pid, got, want)
		}
	}
}
