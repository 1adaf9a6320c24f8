package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepPrivate lets nobody but the owner read the files that the process makes, and has the kernel write no core dump: memory holds patients'
// images. A limit of zero alone does not keep a core from a crash handler that the kernel pipes it to; not being dumpable does.
func keepPrivate() error {
	unix.Umask(0o077)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("turning core dumps off: %w", err)
	}
	return nil
}
