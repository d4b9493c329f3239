package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// format is the value of -o.
type format string

const (
	asText format = "text"
	asJSON format = "json"
	asYAML format = "yaml"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "text|json|yaml" }

func (f *format) Set(s string) error {
	switch format(s) {
	case asText, asJSON, asYAML:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("write text, json or yaml")
}

// outputFlag adds -o to a command.
func outputFlag(cmd *cobra.Command) *format {
	f := asText
	cmd.Flags().VarP(&f, "output", "o", "form of the output: text, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// print writes v as it was asked for; text writes it for people.
func print(w io.Writer, f format, v any, text func(io.Writer) error) error {
	if f == asText {
		return text(w)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write as %s: %w", f, err)
	}
	out := b.Bytes()
	if f == asYAML {
		var err error
		if out, err = toYAML(out); err != nil {
			return fmt.Errorf("write as yaml: %w", err)
		}
	}
	_, err := w.Write(out)
	return err
}

// toYAML writes JSON as YAML with the keys in the same order.
func toYAML(data []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	plain(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// plain takes away JSON's braces and quotes where YAML needs none.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}
