package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rollout has the sample shop as both versions. The shops end with this program.
const rollout = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    process:
      stable: {version: v1, command: [%[1]q, -listen, $(ADDR), -version, v1, -pace, "0.01", -owner, "%[2]d"]}
      canary: {version: v2, command: [%[1]q, -listen, $(ADDR), -version, v2, -pace, "0.01", -owner, "%[2]d"]}
      readiness: {path: /healthz}
  traffic: {proxy: {listen: %[3]q}}
`

// bounds of the waits.
const (
	answerTime = 10 * time.Second
	endTime    = 20 * time.Second
)

// serin is one started program.
type serin struct {
	cmd   *exec.Cmd
	url   string
	log   string
	begun time.Time
	done  chan error
}

// start starts a mode of the program, with a state folder of its own.
func start(program, mode, version, dir string) (*serin, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, rollout, version, os.Getpid(), addr), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &serin{url: "http://" + addr + "/", log: log.Name(), done: make(chan error, 1)}
	s.cmd = exec.Command(program, mode, "-f", file)
	s.cmd.Env = append(os.Environ(), "SERIN_STATE="+filepath.Join(dir, "state"), "HOME="+dir)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.begun = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	return s, nil
}

func (s *serin) pid() int { return s.cmd.Process.Pid }

// firstAnswer is the time from the start to the first good answer.
func (s *serin) firstAnswer() (time.Duration, error) {
	err := answered(s.url, s.begun)
	took := time.Since(s.begun)
	if err != nil {
		said, errRead := os.ReadFile(s.log)
		return 0, errors.Join(fmt.Errorf("%w; it said:\n%s", err, said), errRead)
	}
	return took, nil
}

// answered waits for the first good answer of what was begun.
func answered(url string, begun time.Time) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(begun) < answerTime {
		answer, err := client.Get(url)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("no answer within %s", answerTime)
}

// begins waits until the program has begun its run.
func (s *serin) begins() error {
	for time.Since(s.begun) < answerTime {
		said, err := os.ReadFile(s.log)
		if err != nil || strings.Contains(string(said), "users are served at") {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("it has not begun within %s", answerTime)
}

// end interrupts the program and waits for it.
func (s *serin) end() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("interrupt serin: %w", err)
	}
	select {
	case err := <-s.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 2 {
			return nil // rolled back, as an interrupted run is
		}
		if err != nil {
			said, _ := os.ReadFile(s.log) // without it there is less to see
			return fmt.Errorf("it ends with %w; it said:\n%s", err, said)
		}
		return nil
	case <-time.After(endTime):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("serin has not ended within %s", endTime)
	}
}

// resident is the memory that a process has in use.
func resident(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status tells of no memory", pid)
}

// clockTick is the unit of /proc/PID/stat on Linux.
const clockTick = 10 * time.Millisecond

// processorTime is what a process has used of all processors so far.
func processorTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(data), ") ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat cannot be read: %q", pid, data)
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(errUser, errSystem)
}
