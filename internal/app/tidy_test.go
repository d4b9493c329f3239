package app

import "testing"

func TestMemoryIsGivenBackWhenTheProgramHasComeToRest(t *testing.T) {
	const mib = 1 << 20
	var c calm
	for i, look := range []struct {
		now  heap
		tidy bool
		held uint64 // what is left when it is tidied
		says string
	}{
		{heap{50 * mib, 60 * mib}, false, 0, "the first look cannot tell"},
		{heap{90 * mib, 70 * mib}, false, 0, "the caches are being filled"},
		{heap{91 * mib, 70 * mib}, true, 30 * mib, "they are full"},
		{heap{92 * mib, 30 * mib}, false, 0, "nothing has happened since"},
		{heap{93 * mib, 31 * mib}, false, 0, "a little is not worth it"},
		{heap{400 * mib, 80 * mib}, false, 0, "a release goes on"},
		{heap{700 * mib, 85 * mib}, false, 0, "and on"},
		{heap{701 * mib, 85 * mib}, true, 33 * mib, "it is over"},
		{heap{702 * mib, 33 * mib}, false, 0, "nothing has happened since"},
	} {
		if got := c.came(look.now); got != look.tidy {
			t.Errorf("look %d, %s: %t, want %t", i, look.says, got, look.tidy)
		}
		if look.tidy {
			c.tidied(heap{look.now.allocated, look.held})
		}
	}
}

func TestTheHeapIsMeasured(t *testing.T) {
	if h := heapNow(); h.allocated == 0 || h.held == 0 {
		t.Errorf("the heap is %+v", h)
	}
}
