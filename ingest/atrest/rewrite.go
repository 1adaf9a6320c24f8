package atrest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"llamaxr/internal/durable"
)

// IsEncrypted reports whether a file is; no key is needed.
func IsEncrypted(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, len(intro))
	_, err = io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return string(head) == intro, nil
}

// Rewrite makes a file that from opens one that into has written, with its time of change. It is written whole and synced in the folder
// scratch, of the same file system, and then takes the old one's place.
func Rewrite(path, scratch string, from, into *Key) (err error) {
	old, err := from.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	file, err := os.CreateTemp(scratch, "rewrite-")
	if err != nil {
		return fmt.Errorf("atrest: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
			err = fmt.Errorf("atrest: writing %s anew: %w", filepath.Base(path), err)
		}
	}()
	w, err := into.Encrypt(file)
	if err == nil {
		if _, err = io.Copy(w, old); err == nil {
			err = w.Close()
		}
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	changed := old.Info().ModTime()
	if err := os.Chtimes(file.Name(), changed, changed); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return durable.Names(filepath.Dir(path))
}
