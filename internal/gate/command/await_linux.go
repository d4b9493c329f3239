package command

import "golang.org/x/sys/unix"

// awaitEnd returns when the process has ended, and leaves it to be reaped: as
// long as it is not, no other process group can get its number, so killing the
// group afterwards hits nobody else.
func awaitEnd(pid int, _ func() error) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
