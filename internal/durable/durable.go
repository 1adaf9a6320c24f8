// Package durable makes the names of files last: what was created, renamed or removed in a folder outlives a loss of power only once the
// folder itself is synced (fsync(2)).
package durable

import (
	"errors"
	"fmt"
	"os"
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
