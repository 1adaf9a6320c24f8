package daemon

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"llamaxr/daemon/backup"
	"llamaxr/queue"
)

// TestStartDoesNotWaitForABackup: while a backup of a stopped appliance is written, its database can be opened; a start, which tidies up, ends the backup with
// its reason, and nothing else does.
func TestStartDoesNotWaitForABackup(t *testing.T) {
	state := t.TempDir()
	open := func() error {
		db, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
		if err != nil {
			return err
		}
		return db.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		meanwhile func() error
		want      error
	}{
		{open, nil},
		{func() error { return errors.Join(open(), backup.Tidy(state)) }, errStarted},
	} {
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			err := Backup(t.Context(), state, "test", w)
			w.CloseWithError(err)
			done <- err
		}()
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.meanwhile(); err != nil {
			t.Errorf("a start while the backup is written: %v", err)
		}
		_, _ = io.Copy(io.Discard, r)
		if err := <-done; !errors.Is(err, c.want) {
			t.Errorf("the backup ended with %v, want %v", err, c.want)
		}
	}
}
