package proxy

import (
	"errors"
	"syscall"
)

func isAddressTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
