// Package docs does what the README tells a newcomer to do, word for word.
package docs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const root = "../.."

// blocks returns the fenced blocks of a section, by language, in order.
func blocks(t *testing.T, path, heading string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		out[m[1]] = append(out[m[1]], m[2])
	}
	return out
}

func serin(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "serin")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/serin")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func TestTheQuickStartWordForWord(t *testing.T) {
	section := blocks(t, "README.md", "Your own two programs")
	if len(section["go"]) != 1 || len(section["yaml"]) != 1 || len(section["sh"]) != 2 {
		t.Fatalf("the section's blocks are not those this test knows: %v", section)
	}
	if lines := strings.Count(strings.TrimSpace(section["yaml"][0]), "\n") + 1; lines > 10 {
		t.Errorf("the file has %d lines, the README promises at most 10", lines)
	}
	dir := t.TempDir()
	bin := serin(t)
	for name, text := range map[string]string{"hello.go": section["go"][0], "hello.yaml": section["yaml"][0]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run := func(line string) (string, int) {
		argv := strings.Fields(line)
		if argv[0] == "serin" {
			argv[0] = bin
		}
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = dir
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 30 * time.Second
		cmd.Env = append(os.Environ(), "SERIN_STATE="+filepath.Join(dir, "state"), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}

	// The users of the other terminal.
	users, stop := context.WithCancel(ctx)
	defer stop()
	var hello, bonjour, failed atomic.Int64
	go beUsers(users, &hello, &bonjour, &failed)

	var last string
	for line := range strings.Lines(section["sh"][0]) {
		out, code := run(strings.TrimSpace(line))
		if code != 0 {
			t.Fatalf("%sends with %d\n%s", line, code, out)
		}
		last = out
	}
	stop()
	if !strings.Contains(last, "report.html") {
		t.Errorf("the run does not end with the path of its report:\n%s", last)
	}
	if hello.Load() == 0 || bonjour.Load() == 0 || failed.Load() != 0 {
		t.Errorf("users got hello %d times, bonjour %d times, %d failures", hello.Load(), bonjour.Load(), failed.Load())
	}

	// "Give the canary the command /bin/false and run it again."
	bad := regexp.MustCompile(`(canary: \{version: v2, command: )\[.*\]`).ReplaceAllString(section["yaml"][0], "$1[/bin/false]")
	if bad == section["yaml"][0] {
		t.Fatal("the canary's command was not found in the file")
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run("serin run -f hello.yaml"); code != 2 {
		t.Errorf("with a canary that ends at once the run ends with %d, want 2\n%s", code, out)
	}
}

// beUsers asks again and again, and counts failures from the first answer on
// until ctx is done.
func beUsers(ctx context.Context, hello, bonjour, failed *atomic.Int64) {
	client := &http.Client{Timeout: 5 * time.Second}
	for ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8080/", nil)
		if err != nil {
			panic(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			continue // not up yet, or the program has ended; a gap in between shows as other failures
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch strings.TrimSpace(string(body)) {
		case "hello":
			hello.Add(1)
		case "bonjour":
			bonjour.Add(1)
		default:
			if err == nil || ctx.Err() == nil {
				failed.Add(1)
			}
		}
	}
}

// Every page that the README and the guide link to is there.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}
