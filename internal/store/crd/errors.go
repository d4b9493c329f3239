package crd

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"serin.dev/serin/internal/store"
)

// The resources by which errors and rules name what is stored.
const (
	runs     = "canaryruns"
	records  = "canaryrecords"
	rollouts = "canaryrollouts"
)

func notFound(err error) bool { return apierrors.IsNotFound(err) }

func conflict(err error) bool { return apierrors.IsConflict(err) }

// unanswered reports that a request may have been carried out although it
// failed.
func unanswered(err error) bool {
	var status apierrors.APIStatus
	return !errors.As(err, &status) || status.Status().Code >= 500
}

// explain turns the API server's errors into the port's, saying what was asked
// for and what to do.
func explain(err error, verb, resource string) error {
	doing := verb + " " + resource
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: the API server does not know this resource; install it with \"serin install\": %w: %w", doing, store.ErrUnavailable, err)
	case notFound(err):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrNotFound, err)
	case conflict(err):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrConflict, err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not let this user %s in the group serin.dev; grant the verb %q on %q: %w: %w", doing, verb, resource, store.ErrForbidden, err)
	case apierrors.IsRequestEntityTooLargeError(err):
		return fmt.Errorf("%s: the object has grown too large for the API server: %w: %w", doing, store.ErrFull, err)
	case !errors.As(err, &status), status.Status().Code >= 500, apierrors.IsTooManyRequests(err):
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s: no answer in time: %w: %w", doing, store.ErrUnavailable, err)
		}
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
