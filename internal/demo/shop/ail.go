package shop

import (
	"context"
	"fmt"
	"time"
)

// ail makes the faults that are not part of a request come true, until ctx ends
// or one of them ends the program.
func (s *Shop) ail(ctx context.Context) error {
	const step = 100 * time.Millisecond
	var leaked [][]byte
	owed := 0.0 // bytes still to leak
	for {
		f, since, changed := s.faults.watch()
		exit := time.Duration(f.ExitAfter)
		if exit > 0 && time.Since(since) >= exit {
			return fmt.Errorf("exits by itself after %s, as its faults say", exit)
		}
		busy := f.LeakMB > 0 || f.Burn > 0 || exit > 0
		if !busy {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
				continue
			}
		}
		owed += f.LeakMB * (1 << 20) * step.Seconds()
		for owed >= 1<<16 && len(leaked) < maxLeak>>16 {
			block := make([]byte, 1<<16)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1 // a page that is never touched takes no memory
			}
			leaked = append(leaked, block)
			owed -= 1 << 16
		}
		burn(ctx, f.Burn, step)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(step - min(step, time.Duration(f.Burn*float64(step)))):
		}
	}
}

// maxLeak bounds the memory that is leaked: a demonstration should not take the
// machine down.
const maxLeak = 512 << 20

// burn keeps cores busy for a share of the step.
func burn(ctx context.Context, cores float64, step time.Duration) {
	if cores <= 0 {
		return
	}
	workers := int(cores) + 1
	share := time.Duration(cores / float64(workers) * float64(step))
	done := make(chan struct{}, workers)
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			x := uint64(1)
			for began := time.Now(); time.Since(began) < share && ctx.Err() == nil; {
				for range 10000 {
					x = x*6364136223846793005 + 1442695040888963407
				}
			}
			if x == 0 { // never: keeps the loop from being left out
				panic("unreachable")
			}
		}()
	}
	for range workers {
		<-done
	}
}
