package spool

import (
	"errors"
	"os"
	"syscall"
)

// datasync is a file whose Sync leaves out times, which nobody needs durable: a write in place then costs no write of the file system's own.
type datasync struct{ *os.File }

// Sync implements Journal.
func (f datasync) Sync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
