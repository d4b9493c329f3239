package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host is where instances listen: never beyond this machine.
const host = "127.0.0.1"

// Serin's own variables. An instance gets none of Serin's, but these of its
// own: markerEnv tells whose process it is even when nothing else was written,
// the others what is needed to take it over then.
const (
	reservedEnv = "SERIN_"
	markerEnv   = "SERIN_INSTANCE"
	groupEnv    = "SERIN_GROUP"
	versionEnv  = "SERIN_VERSION"
	addrEnv     = "SERIN_ADDR"
)

// notInherited are variables that speak to Serin itself.
var notInherited = []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// marker is the value of markerEnv for this instance.
func (i *instance) marker() string { return i.w.key + "/" + i.name }

// hopeless says whether waiting cannot mend a failed start.
func hopeless(err error) bool {
	for _, target := range []error{fs.ErrNotExist, fs.ErrPermission, exec.ErrNotFound, unix.ENOEXEC, unix.EISDIR, unix.ENOTDIR, unix.E2BIG} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// spawn starts a process and records it.
func (i *instance) spawn() (*process, error) {
	version := i.group.version
	err := i.choosePort()
	if i.record.Port != 0 {
		i.change(func() { i.url = "http://" + i.address() })
	}
	if err != nil {
		return nil, err
	}
	values := map[string]string{"ADDR": i.address(), "PORT": strconv.Itoa(i.record.Port), "VERSION": version.Version}
	argv := make([]string, len(version.Command))
	for n, arg := range version.Command {
		var err error
		if argv[n], err = expand(arg, values); err != nil {
			return nil, fmt.Errorf("argument %d: %w", n, err)
		}
	}
	env := i.w.environment(os.Environ())
	for name, value := range version.Env {
		value, err := expand(value, values)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		env = append(env, name+"="+value)
	}
	env = append(env,
		markerEnv+"="+i.marker(),
		groupEnv+"="+strconv.Itoa(i.group.id),
		versionEnv+"="+version.Version,
		addrEnv+"="+i.address())

	program, err := i.w.program(argv[0])
	if err != nil {
		return nil, err
	}
	output, err := i.w.openLog(i.name)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	// The record comes first: a Serin that dies between here and the second
	// save knows which name and port to look for.
	i.record.PID, i.record.Start = 0, ""
	i.save()
	cmd := &exec.Cmd{
		Path:   program,
		Args:   argv,
		Env:    env,
		Dir:    i.w.path(version.Dir),
		Stdout: output,
		Stderr: output,
		// A session of its own: what is sent to Serin's terminal or process
		// group does not reach the instance.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	var logFrom int64
	if info, err := output.Stat(); err == nil {
		logFrom = info.Size()
	}
	if err := cmd.Start(); err != nil {
		return nil, explainStart(err, cmd)
	}
	p := &process{pid: cmd.Process.Pid, cmd: cmd, since: time.Now(), logFrom: logFrom, exited: make(chan struct{})}
	p.start, _ = startTime(p.pid) // it cannot be reaped yet, so this is its own
	i.record.PID, i.record.Start = p.pid, p.start
	i.save()
	i.w.running.Go(func() { p.await(i.w.ctx) })
	return p, nil
}

// environment is Serin's, less what is meant for Serin alone.
func (w *Workload) environment(environ []string) []string {
	var env []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, reservedEnv) {
			continue
		}
		own := false
		for _, n := range notInherited {
			own = own || n == name
		}
		if !own {
			env = append(env, entry)
		}
	}
	return env
}

// program finds a program: beside the rollout's file when it has a slash, else
// in PATH.
func (w *Workload) program(name string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return w.path(name), nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not in PATH; give its path, such as ./%s: %w", name, name, exec.ErrNotFound)
	}
	return found, nil
}

// path resolves a path of the rollout's file.
func (w *Workload) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(w.env.BaseDir, p)
}

// explainStart makes an error of the operating system say what to do.
func explainStart(err error, cmd *exec.Cmd) error {
	if info, dirErr := os.Stat(cmd.Dir); dirErr != nil || !info.IsDir() {
		return fmt.Errorf("its working directory %s is not there; create it, or correct dir: %w", cmd.Dir, err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, statErr := os.Stat(cmd.Path); statErr == nil {
			return fmt.Errorf("the interpreter or loader that %s asks for is missing: %w", cmd.Path, err)
		}
		return fmt.Errorf("there is no %s; build it, or correct command: %w", cmd.Path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be executed; chmod +x it: %w", cmd.Path, err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%s is no program for this machine: %w", cmd.Path, err)
	}
	return err
}
