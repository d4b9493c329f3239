package process

import "time"

// SetFirstLook makes every New wait up to d for the first probes of what it took
// over, until the function returned is called.
func SetFirstLook(d time.Duration) (restore func()) {
	was := firstLook
	firstLook = d
	return func() { firstLook = was }
}
