package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// besideCaddy is the time in which a user without Serin has the same: from the
// start of the version, through its first answer, to the first that Caddy has
// proxied to it. Both programs have ended when it returns.
func besideCaddy(version, dir string) (took time.Duration, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	behind, err := freeAddress()
	if err != nil {
		return 0, err
	}
	front, err := freeAddress()
	if err != nil {
		return 0, err
	}
	file := filepath.Join(dir, "Caddyfile")
	config := fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n}\nhttp://%s {\n\treverse_proxy %s\n}\n", front, behind)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return 0, err
	}

	begun := time.Now()
	for _, step := range []struct {
		url  string
		argv []string
	}{
		{"http://" + behind + "/healthz", []string{version, "-listen", behind, "-version", "v1", "-pace", "0.01"}},
		{"http://" + front + "/", []string{"caddy", "run", "--config", file, "--adapter", "caddyfile"}},
	} {
		log, err := os.Create(filepath.Join(dir, filepath.Base(step.argv[0])+".log"))
		if err != nil {
			return 0, err
		}
		defer log.Close()
		cmd := exec.Command(step.argv[0], step.argv[1:]...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("start %s: %w", step.argv[0], err)
		}
		defer func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()         // it was killed
		}()
		if err := answered(step.url, begun); err != nil {
			said, errRead := os.ReadFile(log.Name())
			return 0, errors.Join(fmt.Errorf("%s: %w; it said:\n%s", step.argv[0], err, said), errRead)
		}
	}
	return time.Since(begun), nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
