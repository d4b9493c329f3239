package proxy

import (
	"slices"
	"sync"
)

// ledger holds the meters of the arms.
type ledger struct {
	stable, canary, baseline, forcedStable, forcedCanary armLedger
}

func (l *ledger) judged(a Arm) *armLedger {
	switch a {
	case Canary:
		return &l.canary
	case Baseline:
		return &l.baseline
	}
	return &l.stable
}

func (l *ledger) forced(a Arm) *armLedger {
	if a == Canary {
		return &l.forcedCanary
	}
	return &l.forcedStable
}

// keepRetired is how many instances that have left are still reported: enough
// for every reader to see their last requests, bounded for a proxy that lives
// for years.
const keepRetired = 64

// armLedger is one arm's meter and those of its instances by name.
type armLedger struct {
	total meter

	mu        sync.Mutex
	instances map[string]*meter
	retired   []string // names no longer in the split, the longest gone first
}

func (l *armLedger) instance(name string) *meter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.instances[name]; m != nil {
		return m
	}
	if l.instances == nil {
		l.instances = make(map[string]*meter)
	}
	m := new(meter)
	l.instances[name] = m
	return m
}

func (l *armLedger) inflight(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.instances[name]; m != nil {
		return int(m.inflight.Load())
	}
	return 0
}

func (l *armLedger) keepOnly(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = slices.DeleteFunc(l.retired, func(name string) bool { return slices.Contains(names, name) })
	for name := range l.instances {
		if !slices.Contains(names, name) && !slices.Contains(l.retired, name) {
			l.retired = append(l.retired, name)
		}
	}
	for len(l.retired) > keepRetired {
		delete(l.instances, l.retired[0])
		l.retired = l.retired[1:]
	}
}

func (l *armLedger) snapshot() ArmStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	instances := make(map[string]InstanceStats, len(l.instances))
	for name, m := range l.instances {
		instances[name] = m.snapshot()
	}
	return l.total.armSnapshot(instances)
}
