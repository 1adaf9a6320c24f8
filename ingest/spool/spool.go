// Package spool makes received bytes durable: an object is written aside while it arrives, synced, renamed to a name of our own
// choosing and its folder synced, before anybody is told. What is broken off leaves nothing behind. No name that a peer sends
// reaches the file system.
//
//	w, err := s.Begin(head)
//	_, err = io.Copy(w, data)
//	path, err := w.Commit(key) // durable when err is nil; nothing is there when it is not
//
// A call that fails is not tried again on the same file: after a failed fsync the kernel may have dropped the pages, and a second
// one would succeed without them.
package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"llamaxr/ingest/atrest"
)

// ErrNoSpace is returned when the disk is full or fuller than the watermark.
var ErrNoSpace = errors.New("spool: no space")

const (
	incoming = "incoming" // objects that are still arriving
	objects  = "objects"  // received objects, by their first two hex digits
	aside    = "aside"    // objects whose UID is taken by other bytes
	damaged  = "damaged"  // files that are not what was received, for people to look at
)

// settleAgain is the wait after objects could not be settled.
const settleAgain = time.Second

// Spool is a folder of objects.
type Spool struct {
	files   Files
	root    string
	writers atomic.Int64 // objects on their way
	minFree atomic.Int64
	journal *journal
	key     *atrest.Key
}

// Open makes the folders and removes what a crash left half written. Objects are refused while less than minFree bytes are free.
// The names in root are made durable too, those of other files in it as well.
func Open(root string, minFree int64) (*Spool, error) { return OpenOn(OS{}, root, minFree) }

// HasObjects reports whether there is anything where the objects of a spool in root lie.
func HasObjects(root string) (bool, error) {
	found, err := os.ReadDir(filepath.Join(root, objects))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return len(found) > 0, err
}

// OpenOn opens a spool on the given file system.
func OpenOn(files Files, root string, minFree int64) (*Spool, error) {
	s := &Spool{files: files, root: root}
	s.KeepFree(minFree)
	for _, name := range []string{incoming, objects, aside, damaged} {
		if err := files.MkdirAll(filepath.Join(root, name)); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	for i := range 256 {
		if err := files.MkdirAll(filepath.Join(root, objects, fmt.Sprintf("%02x", i))); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	for _, folder := range []string{filepath.Join(root, objects), root} {
		if err := files.SyncFolder(folder); err != nil {
			return nil, fmt.Errorf("spool: syncing a folder: %w", err)
		}
	}
	half, err := files.List(filepath.Join(root, incoming))
	if err != nil {
		return nil, fmt.Errorf("spool: looking for half-written objects: %w", err)
	}
	for _, path := range half {
		if err := files.Remove(path); err != nil {
			return nil, fmt.Errorf("spool: clearing half-written objects: %w", err)
		}
	}
	if s.journal, err = openJournal(files, filepath.Join(root, JournalFile)); err != nil {
		return nil, fmt.Errorf("spool: opening the journal: %w", err)
	}
	if err := s.recoverJournal(); err != nil {
		return nil, errors.Join(err, s.journal.close())
	}
	return s, nil
}

// Run settles what Commit put into the journal until ctx is cancelled. A failure is told to failed and tried again.
func (s *Spool) Run(ctx context.Context, failed func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.journal.ready:
		}
		if err := s.Settle(); err != nil {
			failed(err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(settleAgain):
			}
			s.journal.again()
		}
	}
}

// Close settles what lies in the journal and closes it. What cannot be settled now is at the next start.
func (s *Spool) Close() error {
	return errors.Join(s.Settle(), s.journal.close())
}

// KeepFree changes how many bytes must be free for an object to be taken.
func (s *Spool) KeepFree(bytes int64) { s.minFree.Store(bytes) }

// EncryptWith has objects that begin from now on encrypted, and those that are encrypted opened; nil writes them plain.
func (s *Spool) EncryptWith(key *atrest.Key) { s.key = key }

// Open opens a file of the spool, by its path on disk, as the bytes that were received.
func (s *Spool) Open(path string) (*atrest.File, error) { return s.key.Open(path) }

// Path returns where an object lies, from the path that the ledger keeps.
func (s *Spool) Path(relative string) string { return filepath.Join(s.root, relative) }

// Has reports whether the object that the ledger keeps under relative is there with at least size bytes.
func (s *Spool) Has(relative string, size int64) bool {
	n, err := s.files.Size(s.Path(relative))
	return err == nil && n >= size
}

// Lacks reports whether the object that the ledger keeps under relative is not there, which a disk that fails does not say.
func (s *Spool) Lacks(relative string) bool {
	_, err := s.files.Size(s.Path(relative))
	return errors.Is(err, fs.ErrNotExist)
}

// Remove deletes the object that the ledger keeps under relative. It fails with fs.ErrNotExist when there is none; that too is durable then, as
// an earlier try may have failed half way.
func (s *Spool) Remove(relative string) error {
	path := s.Path(relative)
	if err := s.settled(relative); err != nil {
		return err
	}
	removed := s.files.Remove(path)
	if removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		return fmt.Errorf("spool: %w", removed)
	}
	if err := s.files.SyncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return removed
}

// SetAside moves a file that is not what was received out of the way, if it is there.
func (s *Spool) SetAside(relative string) error {
	path := s.Path(relative)
	if err := s.settled(relative); err != nil {
		return err
	}
	if _, err := s.files.Size(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.files.Rename(path, filepath.Join(s.root, damaged, filepath.Base(path))); err != nil {
		return fmt.Errorf("spool: setting a damaged file aside: %w", err)
	}
	for _, folder := range []string{filepath.Join(s.root, damaged), filepath.Dir(path)} {
		if err := s.files.SyncFolder(folder); err != nil {
			return fmt.Errorf("spool: setting a damaged file aside: %w", err)
		}
	}
	return nil
}

// settled makes sure that the journal does not bring back an object that is about to go.
func (s *Spool) settled(relative string) error {
	if !s.journal.holds(relative) {
		return nil
	}
	err := s.Settle()
	if !s.journal.holds(relative) {
		return nil
	}
	return err
}

// Unknown returns the committed objects that the ledger does not know, relative to the spool.
func (s *Spool) Unknown(known map[string]bool) (relative []string, err error) {
	for _, room := range []string{objects, aside} {
		paths, err := s.files.List(filepath.Join(s.root, room))
		if err != nil {
			return nil, fmt.Errorf("spool: listing objects: %w", err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(s.root, path)
			if err != nil {
				return nil, fmt.Errorf("spool: listing objects: %w", err)
			}
			if !known[name] {
				relative = append(relative, name)
			}
		}
	}
	return relative, nil
}

// Free is the number of bytes that may still be written.
func (s *Spool) Free() (int64, error) {
	free, err := s.files.Free(s.root)
	if err != nil {
		return 0, fmt.Errorf("spool: free space: %w", err)
	}
	return free, nil
}

// Writer receives one object.
type Writer struct {
	spool *Spool
	file  File
	out   io.WriteCloser // encrypts to the Writer's stored, or is it
	ended bool
	size  int64
	whole int64 // bytes of the file as it lies on disk
	begun int64 // of them, those whose way to the disk has begun

	hash    hash.Hash
	hashing sync.WaitGroup
	behind  []byte // what is being hashed
	leave   func() // ends what Begin began
}

const (
	// fewWriters are so few that a core and the disk would idle: an object is then hashed beside its writing, and goes to the disk while more of it
	// comes. Where more write, that only makes them wait for one another.
	fewWriters = 2
	// writeBackEvery is in bytes.
	writeBackEvery = 2 << 20
)

// quiet reports whether few objects are on their way.
func (s *Spool) quiet() bool { return s.writers.Load() <= fewWriters }

// stored writes to a Writer's file and counts what is in it.
type stored struct{ w *Writer }

// Write implements io.Writer.
func (s stored) Write(b []byte) (int, error) {
	n, err := s.w.file.Write(b)
	s.w.whole += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if s.w.whole-s.w.begun >= writeBackEvery && s.w.spool.quiet() {
		writeBack(s.w.file, s.w.begun, s.w.whole-s.w.begun)
		s.w.begun = s.w.whole
	}
	return n, err
}

// Begin starts an object with the head of its file, which is not part of its digest.
func (s *Spool) Begin(head []byte) (*Writer, error) {
	free, err := s.Free()
	if err != nil {
		return nil, err
	}
	if least := s.minFree.Load(); free < least {
		return nil, fmt.Errorf("%w: %d MB free, %d MB are kept", ErrNoSpace, free>>20, least>>20)
	}
	file, err := s.files.CreateTemp(filepath.Join(s.root, incoming))
	if err != nil {
		return nil, full(fmt.Errorf("spool: %w", err))
	}
	s.writers.Add(1)
	w := &Writer{spool: s, file: file, hash: sha256.New(), leave: sync.OnceFunc(func() { s.writers.Add(-1) })}
	if w.out, err = s.key.Encrypt(stored{w}); err == nil {
		_, err = w.out.Write(head)
	}
	if err != nil {
		w.Abort()
		return nil, full(fmt.Errorf("spool: %w", err))
	}
	return w, nil
}

// Write takes the next bytes of the data set, and does not keep them.
func (w *Writer) Write(b []byte) (int, error) {
	w.hashing.Wait()
	if w.spool.quiet() {
		w.behind = append(w.behind[:0], b...)
		w.hashing.Go(func() { w.hash.Write(w.behind) })
	} else {
		w.hash.Write(b)
	}
	n, err := w.out.Write(b)
	w.size += int64(n)
	if err != nil {
		return n, full(fmt.Errorf("spool: %w", err))
	}
	return n, nil
}

// End says that the data set is whole: its file can be opened from now on.
func (w *Writer) End() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if err := w.out.Close(); err != nil {
		return full(fmt.Errorf("spool: %w", err))
	}
	return nil
}

// Path is where the object lies while it is written.
func (w *Writer) Path() string { return w.file.Name() }

// SHA256 is the digest of the data set so far.
func (w *Writer) SHA256() string {
	w.hashing.Wait()
	return hex.EncodeToString(w.hash.Sum(nil))
}

// Size is that of the data set so far.
func (w *Writer) Size() int64 { return w.size }

// Commit makes the object durable under the name that key's digest gives and returns its path for the ledger. A file of the same key
// must be of the same bytes and is replaced. When Commit fails it leaves no file that was not there before, so the caller must not
// let two objects of one key come here at once.
func (w *Writer) Commit(key string) (string, error) { return w.commit(objects, key) }

// CommitAside makes the object durable among those kept aside.
func (w *Writer) CommitAside(key string) (string, error) { return w.commit(aside, key) }

func (w *Writer) commit(room, key string) (string, error) {
	defer w.leave()
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:16]) + ".dcm"
	relative := filepath.Join(room, name)
	if room == objects {
		relative = filepath.Join(room, name[:2], name)
	}
	if err := w.End(); err != nil {
		w.Abort()
		return "", err
	}
	if room == objects {
		if slot, ok := w.spool.journal.take(relative, w.whole); ok {
			return relative, w.commitToJournal(slot, relative)
		}
	}
	path := w.spool.Path(relative)
	_, absent := w.spool.files.Size(path)
	if err := w.spool.place(w.file, path); err != nil {
		if absent != nil { // else somebody may have been told of it
			w.spool.remove(path)
		}
		return "", full(fmt.Errorf("spool: making an object durable: %w", err))
	}
	return relative, nil
}

// commitToJournal makes a small object durable in a slot and gives its file a name, which is synced later.
func (w *Writer) commitToJournal(slot int, relative string) error {
	j, path := w.spool.journal, w.spool.Path(relative)
	_, absent := w.spool.files.Size(path)
	err := j.write(slot, relative, w.file, w.whole)
	if err == nil {
		err = w.spool.files.Rename(w.file.Name(), path)
	}
	if err == nil {
		j.written(relative, slot, w.file)
		return nil
	}
	j.written(relative, slot, nil)
	w.Abort()
	if absent != nil {
		w.spool.remove(path)
	}
	return full(fmt.Errorf("spool: making an object durable in the journal: %w", err))
}

// Abort removes what was written.
func (w *Writer) Abort() {
	w.leave()
	w.spool.discard(w.file)
}

// place makes a written file durable under its path; when that fails it is not left where it was written.
func (s *Spool) place(file File, path string) error {
	err := errors.Join(file.Sync(), file.Close())
	if err == nil {
		err = s.files.Rename(file.Name(), path)
	}
	if err == nil {
		err = s.files.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		s.remove(file.Name())
	}
	return err
}

// discard gives up a file that is being written.
func (s *Spool) discard(file File) {
	_ = file.Close() // nothing of it is kept
	s.remove(file.Name())
}

// remove does its best: what stays is unknown to the ledger.
func (s *Spool) remove(path string) { _ = s.files.Remove(path) }
