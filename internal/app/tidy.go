package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
)

const (
	// tidyEvery is how often the program looks whether it has come to rest.
	tidyEvery = 15 * time.Second
	// restBytes is how much is allocated between two looks at most while nothing
	// happens: renewals of the lease, and what watches bring of other things.
	restBytes = 4 << 20
	// worthBytes is by how much the heap must have grown to be worth it.
	worthBytes = 4 << 20
)

// tidier gives memory back when the program has come to rest. Filling the caches,
// and a day of releases, take much more than is held afterwards, and at rest so
// little is allocated that what was left over would stay with the program for
// hours.
type tidier struct{ caches cache.Cache }

// NeedLeaderElection implements manager.LeaderElectionRunnable: whoever stands
// by has caches too.
func (tidier) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (t tidier) Start(ctx context.Context) error {
	if !t.caches.WaitForCacheSync(ctx) {
		return nil // ctx has ended
	}
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	var c calm
	for {
		select {
		case <-ticker.C:
			if c.came(heapNow()) {
				debug.FreeOSMemory()
				c.tidied(heapNow())
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// heap is how many bytes the program has allocated so far, and how many its heap
// has from the system, whether used or not.
type heap struct {
	allocated, held uint64
}

func heapNow() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return heap{allocated: value(0), held: value(1) + value(2) + value(3)}
}

// calm notes whether anything happens.
type calm struct {
	last heap
	// left is what the heap held when it was tidied last.
	left uint64
}

// came reports that the program has come to rest with more memory than it needs.
func (c *calm) came(now heap) bool {
	quiet := c.last.allocated > 0 && now.allocated-c.last.allocated < restBytes
	c.last = now
	return quiet && now.held > c.left+worthBytes
}

// tidied notes how much is left.
func (c *calm) tidied(now heap) { c.last, c.left = now, now.held }
