package arms

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Refusal is an error that trying again cannot mend; adapters turn it into
// their port's.
type Refusal struct{ error }

func (r Refusal) Unwrap() error { return r.error }

// Refuse returns a Refusal.
func Refuse(format string, args ...any) error { return Refusal{fmt.Errorf(format, args...)} }

// Refused reports whether an error, or one that it joins, is a Refusal.
func Refused(err error) bool { return errors.As(err, &Refusal{}) }

// failed wraps an answer of the API server with what was being done. What is
// forbidden or invalid stays so.
func failed(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case Refused(err):
		return err
	case apierrors.IsForbidden(err):
		return Refuse("%s: %w; grant it to Serin's service account (serin install does)", doing, err)
	case apierrors.IsInvalid(err):
		return Refuse("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Failed wraps an answer of the API server about a user's object.
func Failed(err error, doing, object string) error {
	if apierrors.IsNotFound(err) {
		return Refuse("%s does not exist; create it, or name another in spec.traffic", object)
	}
	return failed(doing+" "+object, err)
}
