package credential_test

import (
	"cmp"
	"slices"
	"testing"

	"serin.dev/serin/internal/credential"
)

func TestEveryReferenceOfAConfigurationIsFound(t *testing.T) {
	type config struct {
		URL     credential.Value
		Headers map[string]credential.Value
		HMAC    *credential.HMAC
		None    *credential.HMAC
		Many    []any
		hidden  credential.Ref
	}
	c := &config{
		URL:     credential.Value{Ref: credential.Ref{Env: "A"}},
		Headers: map[string]credential.Value{"X": {Ref: credential.Ref{File: "/b"}}, "Y": {Text: "plain"}},
		HMAC:    &credential.HMAC{Secret: credential.Ref{Env: "C"}},
		Many:    []any{1, "two", credential.Ref{Env: "D"}, nil},
		hidden:  credential.Ref{Env: "E"},
	}
	got := credential.Refs(c)
	slices.SortFunc(got, func(a, b credential.Ref) int { return cmp.Compare(a.Env+a.File, b.Env+b.File) })
	want := []credential.Ref{{File: "/b"}, {Env: "A"}, {Env: "C"}, {Env: "D"}, {Env: "E"}}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := credential.Refs(nil); len(got) != 0 {
		t.Errorf("found %v in nothing", got)
	}
}
