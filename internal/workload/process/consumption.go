package process

import (
	"context"

	gopsutil "github.com/shirou/gopsutil/v4/process"
)

// consumption returns the processor time that a process has used, in seconds,
// and its resident memory, in bytes.
func consumption(ctx context.Context, pid int) (seconds, resident float64, err error) {
	p := &gopsutil.Process{Pid: int32(pid)} // #nosec G115 -- the kernel's own number
	times, err := p.TimesWithContext(ctx)
	if err != nil {
		return 0, 0, err
	}
	memory, err := p.MemoryInfoWithContext(ctx)
	if err != nil {
		return 0, 0, err
	}
	return times.User + times.System, float64(memory.RSS), nil
}
