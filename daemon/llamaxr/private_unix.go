//go:build unix && !linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepPrivate lets nobody but the owner read the files that the process makes, and has the kernel write no core dump: memory holds patients'
// images.
func keepPrivate() error {
	unix.Umask(0o077)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	return nil
}
