package credential_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
)

const canary = "s3cret canary/+=\""

func TestASecretIsReadFromTheEnvironmentOrAFile(t *testing.T) {
	t.Setenv("DEPLOY_TOKEN", canary+"\n")
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, canary+"\r\n", 0o600)
	for _, ref := range []credential.Ref{{Env: "DEPLOY_TOKEN"}, {File: file}} {
		secret, err := ref.Resolve()
		if err != nil || secret.Reveal() != canary {
			t.Errorf("%s: got %q, %v", ref, secret.Reveal(), err)
		}
	}
}

func TestOnlyOneNewlineIsTrimmed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, " key \n\n", 0o600)
	if secret, err := (credential.Ref{File: file}).Resolve(); err != nil || secret.Reveal() != " key \n" {
		t.Errorf("got %q, %v", secret.Reveal(), err)
	}
}

func TestErrorsNameTheReferenceAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	empty, large, unreadable := filepath.Join(dir, "empty"), filepath.Join(dir, "large"), filepath.Join(dir, "missing")
	write(t, empty, "\n", 0o600)
	write(t, large, strings.Repeat(canary, 10000), 0o600)
	t.Setenv("EMPTY_TOKEN", "")
	for name, tc := range map[string]struct {
		ref  credential.Ref
		says string
	}{
		"variable not set": {credential.Ref{Env: "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL is not set"},
		"variable empty":   {credential.Ref{Env: "EMPTY_TOKEN"}, "EMPTY_TOKEN is empty"},
		"file missing":     {credential.Ref{File: unreadable}, unreadable},
		"file empty":       {credential.Ref{File: empty}, empty},
		"file too large":   {credential.Ref{File: large}, "too large"},
		"a folder":         {credential.Ref{File: dir}, dir},
		"a device":         {credential.Ref{File: "/dev/zero"}, "not a regular file"},
		"no reference":     {credential.Ref{}, "{env: NAME}"},
		"two references":   {credential.Ref{Env: "A", File: "b"}, "keep one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.ref.Resolve()
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestASecretPrintsAsRedactedInEveryWay(t *testing.T) {
	secret := credential.NewSecret(canary)
	type holder struct {
		Secret  credential.Secret
		Pointer *credential.Secret
	}
	h := holder{secret, &secret}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10s"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", secret, h)
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "holder", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "holder", h)
	out.Write(log.Bytes())
	fmt.Fprint(&out, fmt.Errorf("wrapped: %v", secret))
	for _, form := range []string{"s3cret", "7333637265", "canary"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q shows in:\n%s", form, out.String())
		}
	}
	if strings.Count(out.String(), credential.Redacted) < 20 {
		t.Errorf("redacted too little:\n%s", out.String())
	}
}

func TestTheScrubberKnowsTheFormsThatProgramsPrint(t *testing.T) {
	secret := credential.NewSecret(canary)
	quoted, _ := json.Marshal(canary)
	scrubber := credential.NewScrubber(secret, credential.NewSecret("other-secret"), credential.NewSecret("abc"))
	text := strings.Join([]string{
		"plain " + canary, "twice " + canary + canary, "json " + string(quoted),
		"query s3cret+canary%2F%2B%3D%22", "path s3cret%20canary%2F+=%22",
		"base64 czNjcmV0IGNhbmFyeS8rPSI=", "raw czNjcmV0IGNhbmFyeS8rPSI", "hex 733363726574",
		"other-secret", "abc stays, it is too short",
	}, "\n")
	got := scrubber.Scrub(text)
	for _, leak := range []string{"s3cret", "czNjcmV0", "other-secret"} {
		if strings.Contains(got, leak) {
			t.Errorf("%q is left in:\n%s", leak, got)
		}
	}
	if !strings.Contains(got, "abc stays") {
		t.Errorf("scrubbed too much:\n%s", got)
	}
	if (credential.Scrubber{}).Scrub(text) != text {
		t.Error("the zero Scrubber changes text")
	}
}

func TestASecretOfSeveralLinesIsScrubbedLineByLine(t *testing.T) {
	scrubber := credential.NewScrubber(credential.NewSecret("-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----"))
	if got := scrubber.Scrub("cannot parse line MIIEpAIBAAKCAQEA of the key"); strings.Contains(got, "MIIE") {
		t.Errorf("got %q", got)
	}
}

func TestThePartsOfASecretURLAreScrubbed(t *testing.T) {
	parts := credential.PartsOfURL(credential.NewSecret("https://me:pass%2Fword@hooks.example/services/T0001/B0002/tokentoken?key=queryvalue#fragmentvalue"))
	scrubber := credential.NewScrubber(parts...)
	got := scrubber.Scrub("post https://hooks.example/services/T0001: pass/word pass%2Fword B0002 tokentoken queryvalue fragmentvalue")
	for _, leak := range []string{"T0001", "B0002", "pass", "tokentoken", "queryvalue", "fragmentvalue"} {
		if strings.Contains(got, leak) {
			t.Errorf("%q is left in %q", leak, got)
		}
	}
	if !strings.Contains(got, "hooks.example") {
		t.Errorf("the host is gone from %q", got)
	}
}

func TestAWorldReadableFileIsWarnedOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, canary, 0o644)
	if warning := (credential.Ref{File: file}).Warning(); !strings.Contains(warning, "chmod 600 "+file) {
		t.Errorf("got %q", warning)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if warning := (credential.Ref{File: file}).Warning(); warning != "" {
		t.Errorf("got %q for a file that only its group reads", warning)
	}
	if warning := (credential.Ref{Env: "X"}).Warning(); warning != "" {
		t.Errorf("got %q", warning)
	}
}

func TestAValueIsATextOrAReference(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want credential.Value
		bad  bool
	}{
		"text":            {`"plain"`, credential.Value{Text: "plain"}, false},
		"env":             {`{"env": "A"}`, credential.Value{Ref: credential.Ref{Env: "A"}}, false},
		"file":            {`{"file": "/a"}`, credential.Value{Ref: credential.Ref{File: "/a"}}, false},
		"number":          {`5`, credential.Value{}, true},
		"unknown field":   {`{"vault": "s3cret"}`, credential.Value{}, true},
		"empty reference": {`{}`, credential.Value{}, true},
		"list":            {`["s3cret"]`, credential.Value{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var got credential.Value
			err := json.Unmarshal([]byte(tc.in), &got)
			if (err != nil) != tc.bad || got != tc.want {
				t.Errorf("got %+v, %v", got, err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error repeats what was written: %v", err)
				}
				return
			}
			encoded, err := json.Marshal(got)
			var again credential.Value
			if err != nil || json.Unmarshal(encoded, &again) != nil || again != got {
				t.Errorf("written as %s, %v", encoded, err)
			}
		})
	}
}

func TestASecretInThePlaceOfItsNameIsNotRepeated(t *testing.T) {
	for _, p := range (credential.Ref{Env: "ghp-" + canary}).Problems("url") {
		if strings.Contains(p.Message+p.Mend+p.Field, "s3cret") {
			t.Errorf("repeated: %+v", p)
		}
	}
	if found := (credential.Ref{Env: "ghp-" + canary}).Problems("url"); len(found) != 1 {
		t.Errorf("found %+v", found)
	}
}

// The expected value was computed with:
//
//	printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
func TestTheSignatureIsTheOneThatOthersCompute(t *testing.T) {
	got := credential.Sign(credential.NewSecret("key"), time.Unix(1700000000, 0), []byte(`{"a":1}`))
	const want = "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
