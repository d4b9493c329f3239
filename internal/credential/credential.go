// Package credential keeps secrets out of files, logs and records: a file
// refers to a secret by the name of an environment variable or of a file, the
// value is read when it is used, and it prints as [redacted] ever after.
//
// It must not know what a secret is for.
package credential

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"serin.dev/serin/internal/rollout"
)

// maxFile bounds what is read from a secret's file: a key ring fits, a log
// named by mistake does not.
const maxFile = 64 << 10

// Ref names where a secret is kept; exactly one of its fields is set.
type Ref struct {
	// Env is the environment variable of Serin that holds the secret.
	Env string `json:"env,omitempty" jsonschema:"example=DEPLOY_TOKEN"`
	// File is the file that holds the secret; one newline at its end does not
	// count.
	File string `json:"file,omitempty" jsonschema:"example=/run/secrets/deploy-token"`
}

// String names the reference for a person. It is never the secret.
func (r Ref) String() string {
	switch {
	case r.Env != "":
		return "environment variable " + r.Env
	case r.File != "":
		return "file " + r.File
	}
	return "no reference"
}

// IsZero reports whether nothing is referred to.
func (r Ref) IsZero() bool { return r == Ref{} }

// Resolve reads the secret now, so that one that was renewed is seen.
func (r Ref) Resolve() (Secret, error) {
	if r.Env != "" && r.File != "" {
		return Secret{}, fmt.Errorf("read secret: both %s and %s are named; keep one", Ref{Env: r.Env}, Ref{File: r.File})
	}
	var text string
	switch {
	case r.Env != "":
		value, ok := os.LookupEnv(r.Env)
		if !ok {
			return Secret{}, fmt.Errorf("read secret: %s is not set; set it where Serin is started", r)
		}
		text = value
	case r.File != "":
		value, err := readFile(r.File)
		if err != nil {
			return Secret{}, fmt.Errorf("read secret: %w", err)
		}
		text = value
	default:
		return Secret{}, errors.New("read secret: no reference; write {env: NAME} or {file: PATH}")
	}
	text = trimNewline(text)
	if text == "" {
		return Secret{}, fmt.Errorf("read secret: %s is empty; put the secret there", r)
	}
	return Secret{text: text}, nil
}

// Warning says what is unsafe about how the secret is kept, or nothing.
func (r Ref) Warning() string {
	if r.File == "" {
		return ""
	}
	info, err := os.Stat(r.File)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("%s can be read by every user of this machine; run: chmod 600 %s", r, r.File)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Problems returns what is wrong with the reference itself, under the given
// field; it does not look for the secret. A name that cannot be one is not
// repeated, for it may be the secret, written where its name belongs.
func (r Ref) Problems(field string) []rollout.Problem {
	switch {
	case r.Env != "" && r.File != "":
		return []rollout.Problem{{Field: field, Message: "names both env and file", Mend: "keep one"}}
	case r.IsZero():
		return []rollout.Problem{{Field: field, Message: "names no secret", Mend: "write {env: NAME} or {file: PATH}"}}
	case r.Env != "" && !envName.MatchString(r.Env):
		return []rollout.Problem{{
			Field:   field + ".env",
			Message: "is not the name of an environment variable",
			Mend:    "write the variable's name, such as DEPLOY_TOKEN, never the secret itself",
		}}
	case strings.ContainsAny(r.File, "\n\x00"):
		return []rollout.Problem{{Field: field + ".file", Message: "is not a path", Mend: "write the path of the file that holds the secret"}}
	}
	return nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err // names the path and the reason
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("%s is larger than %d bytes, too large for a secret", path, maxFile)
	}
	return string(data), nil
}

func trimNewline(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return strings.TrimSuffix(s, "\r")
}
