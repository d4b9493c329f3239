package app

import (
	"context"
	"runtime/debug"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// tidyAfter is when filling the caches and the first look at every rollout are
// over, also where another controller's lease had to run out first.
const tidyAfter = 30 * time.Second

// tidier gives memory back once. Filling the caches takes much more than they
// hold afterwards, and at rest so little is allocated that what was left over
// would stay with the program for hours.
type tidier struct{ caches cache.Cache }

// NeedLeaderElection implements manager.LeaderElectionRunnable: whoever stands
// by has caches too.
func (tidier) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (t tidier) Start(ctx context.Context) error {
	if !t.caches.WaitForCacheSync(ctx) {
		return nil // ctx has ended
	}
	select {
	case <-time.After(tidyAfter):
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
	return nil
}
