package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"serin.dev/serin/internal/rollout"
)

// maxFile is more than any file of rollouts may have; reading stops there.
const maxFile = 16 << 20

// fileFlag adds the required -f to a command.
func fileFlag(cmd *cobra.Command, file *string, what string) {
	cmd.Flags().StringVarP(file, "file", "f", "", what)
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
}

// readFile reads a file of rollouts; "-" is stdin.
func (c *command) readFile(path string) ([]byte, error) {
	if path == "-" {
		return readBounded(c.in, "stdin")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("%w; -f names the file with the rollout", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, usage("%s is a folder; name the file with the rollout that is in it", path)
	}
	return readBounded(f, path)
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, usage("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, usage("%s is larger than %d MiB, which no file of rollouts is", name, maxFile>>20)
	}
	return data, nil
}

// warn says what is likely a mistake but can be run.
func (c *command) warn(warnings []rollout.Located) {
	for _, w := range warnings {
		fmt.Fprintln(c.err, w)
	}
}

// readPlan reads a file of which only the plan and the analysis matter: its
// adapters are not looked at, and workload and traffic may be missing.
func (c *command) readPlan(path string) (rollout.Spec, error) {
	r, err := c.readRollout(path)
	if err != nil {
		return rollout.Spec{}, err
	}
	return r.Spec, nil
}

// readRollout is readPlan with the rollout's name.
func (c *command) readRollout(path string) (*rollout.Rollout, error) {
	if path == "-" {
		return nil, usage("-f -: stdin holds the ticks; name a file")
	}
	data, err := c.readFile(path)
	if err != nil {
		return nil, err
	}
	rollouts, warnings, err := rollout.ParseAll(path, data, nil)
	if lacksAdapters(err) {
		rollouts, warnings, err = rollout.ParseAll(path, withAdapters(data), nil)
	}
	c.warn(warnings)
	if err != nil {
		return nil, err
	}
	if len(rollouts) != 1 {
		return nil, usage("%s holds %d rollouts where one belongs; put the others into files of their own", path, len(rollouts))
	}
	return rollouts[0], nil
}

// lacksAdapters reports whether all that is wrong with a file is that it names
// no workload or no traffic.
func lacksAdapters(err error) bool {
	var file *rollout.FileError
	if !errors.As(err, &file) {
		return false
	}
	for _, p := range file.Problems {
		if p.Field != "spec.workload" && p.Field != "spec.traffic" {
			return false
		}
	}
	return true
}

// withAdapters adds a workload and a traffic of no meaning where a file has
// none; what cannot be completed is left as it is.
func withAdapters(data []byte) []byte {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 {
		return data
	}
	spec := child(doc.Content[0], "spec")
	if spec == nil || spec.Kind != yaml.MappingNode {
		return data
	}
	for _, port := range []string{"workload", "traffic"} {
		if child(spec, port) == nil {
			spec.Content = append(spec.Content, word(port), &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
				word("none"), {Kind: yaml.MappingNode, Tag: "!!map"},
			}})
		}
	}
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b).Encode(&doc); err != nil {
		return data
	}
	return b.Bytes()
}

func word(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// child returns the value of a key of a mapping.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
