package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// terminal runs a command on a terminal of its own, 100 columns by 30 lines, and
// writes what was shown to a file. Its command is
//
//	terminal CODE FILE COMMAND…
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: terminal CODE FILE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	screen, tty, err := openTerminal()
	ts.Check(err)
	defer screen.Close()

	cmd := exec.Command(filepath.Join(bin, args[2]), args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "SERIN_STATE", "TERM", "NO_COLOR"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	tty.Close()
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, screen) // ends with an error when nobody writes any more
	}()
	err = cmd.Wait()
	<-read
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), shown.Bytes(), 0o600))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d; shown:\n%s", got, want, shown.Bytes())
	}
}

// openTerminal returns both ends of a new terminal.
func openTerminal() (screen, tty *os.File, err error) {
	screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(screen.Fd())
	err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	number, errNumber := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, errNumber, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100})); err != nil {
		screen.Close()
		return nil, nil, err
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		screen.Close()
		return nil, nil, err
	}
	return screen, tty, nil
}
