// Package durable makes the names of files last: what was created, renamed or removed in a folder outlives a loss of power only once the
// folder itself is synced (fsync(2)). It also tells how much room there is.
package durable

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Names makes the names in folder last.
func Names(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("durable: syncing a folder: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("durable: syncing a folder: %w", err)
	}
	return nil
}

// Free is the number of bytes that we may still write on the disk that a folder lies on.
func Free(folder string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("durable: free space: %w", err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
