package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernelStat is what /proc/<pid>/stat says that matters here.
type kernelStat struct {
	pid, session int
	state        byte
	start        string // in clock ticks since boot: exact, and no clock change moves it
}

func readStat(pid int) (kernelStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return kernelStat{}, err
	}
	// The name in parentheses may itself contain anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 22 {
		return kernelStat{}, fmt.Errorf("reading /proc/%d/stat: only %d fields", pid, len(fields))
	}
	session, err := strconv.Atoi(fields[3])
	if err != nil {
		return kernelStat{}, fmt.Errorf("reading /proc/%d/stat: %w", pid, err)
	}
	return kernelStat{
		pid:     pid,
		session: session,
		state:   fields[0][0],
		start:   fields[19],
	}, nil
}

func (s kernelStat) dead() bool { return s.state == 'Z' || s.state == 'X' }

// startTime identifies a process together with its pid, also across reboots.
func startTime(pid int) (string, error) {
	s, err := readStat(pid)
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(boot)) + "/" + s.start, nil
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
	s, err := readStat(pid)
	return err == nil && !s.dead()
}

// awaitExit waits until the process that started at start has ended, reaped or
// not. It returns an error only when ctx ends before.
func awaitExit(ctx context.Context, pid int, start string) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil { // an old kernel, or no descriptor left
		return pollExit(ctx, pid, start)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if !isProcess(pid, start) {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return pollExit(ctx, pid, start)
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	err = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return pollExit(ctx, pid, start)
}

func pollExit(ctx context.Context, pid int, start string) error {
	look := time.NewTicker(50 * time.Millisecond)
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

// sessionMembers returns the living members of the session that the process
// leads or led, without itself.
func sessionMembers(leader int, start string) []int {
	return sessionsOf(map[int]string{leader: start})[leader]
}

// sessionsOf is sessionMembers for many leaders, given with their start times.
func sessionsOf(leaders map[int]string) map[int][]int {
	asked := map[int]bool{}
	for leader, start := range leaders {
		// While members are left the kernel gives the leader's number to nobody
		// else; when somebody else has it, no member is left.
		now, err := startTime(leader)
		asked[leader] = leader > 0 && (err != nil || now == start)
	}
	members := map[int][]int{}
	eachProcess(func(pid int) {
		if s, err := readStat(pid); err == nil && asked[s.session] && pid != s.session && !s.dead() {
			members[s.session] = append(members[s.session], pid)
		}
	})
	return members
}

// marked returns the living processes, without except, that bear the marker.
func marked(marker string, except int) []int {
	var pids []int
	eachProcess(func(pid int) {
		if pid == except || environment(pid)[markerEnv] != marker {
			return
		}
		if s, err := readStat(pid); err == nil && !s.dead() {
			pids = append(pids, pid)
		}
	})
	return pids
}

// leaders returns the living session leaders whose marker begins with prefix,
// with Serin's variables in their environment.
func leaders(prefix string) map[int]map[string]string {
	found := map[int]map[string]string{}
	eachProcess(func(pid int) {
		env := environment(pid)
		if !strings.HasPrefix(env[markerEnv], prefix) {
			return
		}
		if s, err := readStat(pid); err == nil && s.session == pid && !s.dead() {
			found[pid] = env
		}
	})
	return found
}

// environment returns Serin's variables in a process's environment; nil where
// they cannot be read.
func environment(pid int) map[string]string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || !bytes.Contains(data, []byte(markerEnv+"=")) {
		return nil
	}
	env := map[string]string{}
	for entry := range strings.SplitSeq(string(data), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, reservedEnv) {
			env[name] = value
		}
	}
	return env
}

func eachProcess(visit func(pid int)) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read is looked at
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			visit(pid)
		}
	}
}
