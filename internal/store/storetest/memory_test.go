package storetest_test

import (
	"testing"

	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/store/storetest"
)

// The store that tests and simulations stand on keeps the same contract as the
// one on disk.
func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return new(memory.Store) })
}
