package kube

import (
	"bytes"
	"errors"
	"flag"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// A person who ends a command with Ctrl-C in the middle of an answer, or whose
// cluster is away, is told by the command alone.
func TestTheLibrariesOfACommandWriteNothing(t *testing.T) {
	var out bytes.Buffer
	f := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(f)
	if err := f.Parse([]string{"-logtostderr=false"}); err != nil {
		t.Fatal(err)
	}
	klog.SetOutput(&out)
	if _, err := (&Connection{Config: &rest.Config{Host: "http://127.0.0.1:1"}}).Client(); err != nil {
		t.Fatal(err)
	}
	klog.ErrorS(errors.New("context canceled"), "Unexpected error when reading response body")
	klog.Flush()
	if out.Len() > 0 {
		t.Errorf("it wrote %q", out.String())
	}
}
