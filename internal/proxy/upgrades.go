package proxy

import (
	"io"
	"sync"
)

// upgrades are the connections that speak something else than HTTP by now.
type upgrades struct {
	mu   sync.Mutex
	open map[io.Closer]struct{}
}

func (u *upgrades) add(c io.Closer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open == nil {
		u.open = make(map[io.Closer]struct{})
	}
	u.open[c] = struct{}{}
}

func (u *upgrades) remove(c io.Closer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, c)
}

func (u *upgrades) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open)
}

func (u *upgrades) none() bool { return u.count() == 0 }

func (u *upgrades) closeAll() {
	u.mu.Lock()
	open := make([]io.Closer, 0, len(u.open))
	for c := range u.open {
		open = append(open, c)
	}
	u.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}
