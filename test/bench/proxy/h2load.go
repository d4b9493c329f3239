package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// streams is how many requests are under way on one HTTP/2 connection.
const streams = 8

// runH2load runs nghttp2's load generator and reads its log: one line a request,
// with its start, status and length in microseconds.
func runH2load(ctx context.Context, url string, connections int, length time.Duration, cores string) (loadResult, error) {
	log, err := os.CreateTemp("", "serin-bench-*.log")
	if err != nil {
		return loadResult{}, err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	ctx, cancel := context.WithTimeout(ctx, length+20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "taskset", "-c", cores, "h2load", "-t1", "-c"+strconv.Itoa(connections), "-m"+strconv.Itoa(streams),
		"-D"+strconv.Itoa(wholeSeconds(length)), "--log-file="+log.Name(), url)
	out, err := runLoad(cmd)
	if err != nil {
		return loadResult{}, fmt.Errorf("h2load: %w: %s", err, lastLine(out))
	}
	if !strings.Contains(out, "Application protocol: h2") {
		return loadResult{}, fmt.Errorf("h2load: %s does not speak HTTP/2", url)
	}
	r := loadResult{}
	var took []float64
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return loadResult{}, fmt.Errorf("h2load logged %q", lines.Text())
		}
		micros, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return loadResult{}, fmt.Errorf("h2load logged %q: %w", lines.Text(), err)
		}
		if fields[1] != "200" {
			r.failed++
		}
		took = append(took, micros)
	}
	if err := lines.Err(); err != nil {
		return loadResult{}, err
	}
	if len(took) == 0 {
		return loadResult{}, errors.New("h2load: no request was answered")
	}
	slices.Sort(took)
	r.requests = float64(len(took))
	r.rps = r.requests / float64(wholeSeconds(length))
	r.p50, r.p99 = took[len(took)/2], took[len(took)*99/100]
	return r, nil
}

// runLoad runs a load generator to its end.
func runLoad(cmd *exec.Cmd) (out string, err error) {
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err = cmd.Start(); err == nil {
		if ahead {
			err = goAheadOf(cmd.Process.Pid)
		}
		err = errors.Join(err, cmd.Wait())
	}
	return text.String(), err
}

// wholeSeconds: load generators count in whole ones.
func wholeSeconds(d time.Duration) int { return max(1, int(d.Round(time.Second)/time.Second)) }
