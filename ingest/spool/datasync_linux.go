package spool

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
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

// writeBack has the system begin to write n bytes of a file to the disk and does not wait: less is left for Sync, which says whether it went well.
func writeBack(file File, offset, n int64) {
	if f, ok := file.(*os.File); ok {
		_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
	}
}
