package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"llamaxr/internal/durable"
)

// Files is the file system under a spool: what it needs and no more, so that a test can let each call fail. OS is the real one.
type Files interface {
	// MkdirAll makes a folder that only we may enter, and those above it.
	MkdirAll(path string) error
	// CreateTemp makes a file of a new name in folder.
	CreateTemp(folder string) (File, error)
	// Rename moves a file; readers see the old state or the new one.
	Rename(from, to string) error
	Remove(path string) error
	// Size fails with fs.ErrNotExist when there is no such file.
	Size(path string) (int64, error)
	// List returns the paths of all files below folder.
	List(folder string) ([]string, error)
	// SyncFolder makes the names in folder durable.
	SyncFolder(folder string) error
	// OpenJournal opens a file to be overwritten in place, and makes it when there is none, with its name durable.
	OpenJournal(path string) (Journal, error)
	// Free is the number of bytes that we may still write.
	Free(path string) (int64, error)
}

// File is one that is being written.
type File interface {
	io.Writer
	io.ReaderAt
	Name() string
	Sync() error
	Close() error
}

// OS is the machine's own file system.
type OS struct{}

// MkdirAll implements Files.
func (OS) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

// CreateTemp implements Files.
func (OS) CreateTemp(folder string) (File, error) {
	file, err := os.CreateTemp(folder, "object-")
	if err != nil {
		return nil, err // a nil *os.File would not be a nil File
	}
	return file, nil
}

// Rename implements Files.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Files.
func (OS) Remove(path string) error { return os.Remove(path) }

// Size implements Files.
func (OS) Size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// List implements Files.
func (OS) List(folder string) (paths []string, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

// SyncFolder implements Files.
func (OS) SyncFolder(folder string) error { return durable.Names(folder) }

// OpenJournal implements Files.
func (o OS) OpenJournal(path string) (Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := o.SyncFolder(filepath.Dir(path)); err != nil {
		file.Close()
		return nil, err
	}
	return datasync{file}, nil
}

// Free implements Files.
func (OS) Free(path string) (int64, error) { return durable.Free(path) }

// full marks an error as ErrNoSpace when the disk or a quota says so.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
