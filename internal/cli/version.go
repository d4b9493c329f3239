package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says which program this is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *command) version() *cobra.Command {
	var out *format
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which serin this is",
		Long:    `Version prints the version, the commit it was built from, and the platform.`,
		Example: "  serin version\n  serin version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := buildOf(c.Version)
			return print(c.out, *out, b, func(w io.Writer) error {
				text := "serin " + b.Version
				if b.Commit != "" {
					text += " (" + b.Commit[:min(12, len(b.Commit))] + ")"
				}
				_, err := fmt.Fprintf(w, "%s, %s, %s\n", text, b.Go, b.Platform)
				return err
			})
		},
	}
	out = outputFlag(cmd)
	return cmd
}

func buildOf(version string) build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
