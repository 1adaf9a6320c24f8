package durable

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

// TestNames: a folder that is there is synced; one that is not is an error, so that nobody takes what is in it for durable.
func TestNames(t *testing.T) {
	folder := t.TempDir()
	if err := Names(folder); err != nil {
		t.Error(err)
	}
	if err := Names(filepath.Join(folder, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder that is not there: %v", err)
	}
}
