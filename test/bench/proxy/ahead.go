package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"
)

// shortSlice is how long a process runs, in nanoseconds, before another that waits
// may take its place.
const shortSlice = 100_000

// goAhead makes "nice -n -20 make bench" mean what it says on a machine that others
// use: Linux first divides its time among sessions, whatever their processes' nice
// values, and lets a running process finish its slice of some milliseconds. It does
// nothing unless this process was started with nice -20; what it sets is inherited
// by the processes started afterwards, all peers alike. Each of those needs
// goAheadOf besides.
func goAhead() (ahead bool, err error) {
	// The system call returns 20 less the nice value.
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil || raw != 40 {
		return false, err
	}
	tasks, err := filepath.Glob("/proc/self/task/*") // any thread may start the peers
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		thread, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			return false, err
		}
		attr := struct {
			size, policy uint32
			flags        uint64
			nice         int32
			priority     uint32
			slice        uint64
			_, _         uint64
		}{size: 48, nice: -20, slice: shortSlice}
		if _, _, errno := syscall.Syscall(314, uintptr(thread), uintptr(unsafe.Pointer(&attr)), 0); errno != 0 { // sched_setattr
			return false, fmt.Errorf("asking for short slices: %w", errno)
		}
	}
	return true, nil
}

// goAheadOf puts a process's session in front.
func goAheadOf(pid int) error { return setSession(pid, "-20") }

// setSession sets the nice value of a process's session.
func setSession(pid int, nice string) error {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(nice), 0)
	if os.IsNotExist(err) {
		return nil // time is not divided among sessions
	}
	return err
}
