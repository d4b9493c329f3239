//go:build plane

package install

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every command of the guide is run, in its order, each from where its section
// begins.
func TestTheGuideToTheInstallation(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/install.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(guide, -1)
	if len(blocks) != 5 {
		t.Fatalf("the guide has %d blocks of commands, and this test knows 5", len(blocks))
	}
	namespace(t, "shop")
	for i, block := range blocks {
		for _, line := range strings.Split(strings.TrimSpace(string(block[1])), "\n") {
			args := strings.Fields(line)
			switch {
			case line == "serin doctor --cluster":
				// There is no rollout yet, which is a warning; the program here is no
				// release, which is another.
				serin(t, args[1:]...).ends(t, 3).says(t, "there is none yet")
			case strings.HasPrefix(line, "serin install"):
				serin(t, append(args[1:], "--version", version)...).ends(t, 0)
			case args[0] == "serin":
				serin(t, args[1:]...).ends(t, 0)
			case args[0] == "kubectl":
				plain(t, args[1:]...)
			default:
				t.Errorf("the guide has %q, which this test does not know", line)
			}
		}
		// What the fourth installs, the last takes out.
		if i == 3 {
			continue
		}
		// No controller runs here that reads the records, and a kind whose objects the API
		// server is first asked for when it takes the kind away goes a minute later.
		kubectl(t, "get", "canaryrecords.serin.dev", "-A")
		serin(t, "uninstall", "--crds").ends(t, 0)
		eventually(t, gone(t, "namespace", "serin-system"))
		for _, kind := range []string{"canaryrecords", "canaryruns", "canaryrollouts"} {
			eventually(t, gone(t, "crd", kind+".serin.dev"))
		}
	}
}

// plain runs kubectl from the top of the repository.
func plain(t *testing.T, args ...string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		if strings.HasPrefix(a, "deploy/") {
			args[i] = strings.TrimSpace(string(root)) + "/" + a
		}
	}
	kubectl(t, args...)
}
