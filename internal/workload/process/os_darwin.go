package process

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const zombie = 5 // SZOMB of sys/proc.h

// startTime identifies a process together with its pid.
func startTime(pid int) (string, error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%06d", p.Proc.P_starttime.Sec, p.Proc.P_starttime.Usec), nil
}

// isProcess says whether pid is alive and started at start.
func isProcess(pid int, start string) bool {
	if pid <= 0 || start == "" {
		return false
	}
	now, err := startTime(pid)
	if err != nil || now != start {
		return false
	}
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	return err == nil && p.Proc.P_stat != zombie
}

// awaitExit waits until the process that started at start has ended, reaped or
// not. It returns an error only when ctx ends before.
func awaitExit(ctx context.Context, pid int, start string) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for isProcess(pid, start) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sessionMembers returns the living members of the process group that the
// process leads or led, without itself: sessions cannot be listed here.
func sessionMembers(leader int, start string) []int {
	if now, err := startTime(leader); err == nil && now != start {
		return nil
	}
	all, _ := unix.SysctlKinfoProcSlice("kern.proc.pgrp", leader) // none, or none that can be seen
	var members []int
	for _, p := range all {
		if pid := int(p.Proc.P_pid); pid != leader && p.Proc.P_stat != zombie {
			members = append(members, pid)
		}
	}
	return members
}

// sessionsOf is sessionMembers for many leaders, given with their start times.
func sessionsOf(leaders map[int]string) map[int][]int {
	members := map[int][]int{}
	for leader, start := range leaders {
		members[leader] = sessionMembers(leader, start)
	}
	return members
}

// marked and leaders would read the environment of other processes, which this
// system does not show: here only the pid files lead to what runs.
func marked(string, int) []int { return nil }

func leaders(string) map[int]map[string]string { return nil }
