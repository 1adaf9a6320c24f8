// Package spool makes received bytes durable: an object is written aside while it arrives, synced, renamed to a name of our own
// choosing and its folder synced, before anybody is told. What is broken off leaves nothing behind. No name that a peer sends
// reaches the file system.
package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNoSpace is returned when the disk is full or fuller than the watermark.
var ErrNoSpace = errors.New("spool: no space")

const (
	incoming = "incoming" // objects that are still arriving
	objects  = "objects"  // received objects, by their first two hex digits
	aside    = "aside"    // objects whose UID is taken by other bytes
)

// Spool is a folder of objects.
type Spool struct {
	root    string
	minFree int64
}

// Open makes the folders and removes what a crash left half written.
func Open(root string, minFree int64) (*Spool, error) {
	s := &Spool{root, minFree}
	if err := os.RemoveAll(filepath.Join(root, incoming)); err != nil {
		return nil, fmt.Errorf("spool: clearing half-written objects: %w", err)
	}
	for _, name := range []string{incoming, objects, aside} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(root, objects, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	return s, syncFolder(filepath.Join(root, objects))
}

// Path returns where an object lies, from the path that the ledger keeps.
func (s *Spool) Path(relative string) string { return filepath.Join(s.root, relative) }

// Writer receives one object.
type Writer struct {
	spool *Spool
	file  *os.File
	hash  hash.Hash
	size  int64
	head  int64
}

// Begin starts an object with the head of its file, which is not part of its digest.
func (s *Spool) Begin(head []byte) (*Writer, error) {
	if err := s.room(); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Join(s.root, incoming), "object-")
	if err != nil {
		return nil, full(fmt.Errorf("spool: %w", err))
	}
	w := &Writer{spool: s, file: file, hash: sha256.New(), head: int64(len(head))}
	if _, err := file.Write(head); err != nil {
		w.Abort()
		return nil, full(fmt.Errorf("spool: %w", err))
	}
	return w, nil
}

func (s *Spool) room() error {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(s.root, &stat); err != nil {
		return fmt.Errorf("spool: free space: %w", err)
	}
	if free := int64(stat.Bavail) * stat.Bsize; free < s.minFree {
		return fmt.Errorf("%w: %d MB free, %d MB are kept", ErrNoSpace, free>>20, s.minFree>>20)
	}
	return nil
}

// Write takes the next bytes of the data set.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	w.size += int64(n)
	w.hash.Write(b[:n])
	if err != nil {
		return n, full(fmt.Errorf("spool: %w", err))
	}
	return n, nil
}

// Path is where the object lies while it is written.
func (w *Writer) Path() string { return w.file.Name() }

// SHA256 is the digest of the data set so far.
func (w *Writer) SHA256() string { return hex.EncodeToString(w.hash.Sum(nil)) }

// Size is that of the data set so far.
func (w *Writer) Size() int64 { return w.size }

// Commit makes the object durable under the name that key's digest gives and returns its path for the ledger. Committing the same
// key again replaces the file.
func (w *Writer) Commit(key string) (string, error) { return w.commit(objects, key) }

// CommitAside makes the object durable among those kept aside.
func (w *Writer) CommitAside(key string) (string, error) { return w.commit(aside, key) }

func (w *Writer) commit(room, key string) (string, error) {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:16]) + ".dcm"
	relative := filepath.Join(room, name)
	if room == objects {
		relative = filepath.Join(room, name[:2], name)
	}
	path := w.spool.Path(relative)
	err := w.file.Sync()
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(w.file.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(w.file.Name())
		return "", full(fmt.Errorf("spool: making an object durable: %w", err))
	}
	return relative, nil
}

// Abort removes what was written.
func (w *Writer) Abort() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// Sweep removes committed objects that the ledger does not know: the process died between file and ledger, so nobody was told.
func (s *Spool) Sweep(known map[string]bool) (removed int, err error) {
	for _, room := range []string{objects, aside} {
		err := filepath.WalkDir(filepath.Join(s.root, room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			relative, err := filepath.Rel(s.root, path)
			if err != nil || known[relative] {
				return err
			}
			removed++
			return os.Remove(path)
		})
		if err != nil {
			return removed, fmt.Errorf("spool: sweeping: %w", err)
		}
	}
	return removed, nil
}

// full marks an error as ErrNoSpace when the disk or a quota says so.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("spool: syncing a folder: %w", err)
	}
	return nil
}
