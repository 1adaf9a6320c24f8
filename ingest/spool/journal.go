package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"sync"
)

// A file system takes several writes of its own to make one new small file durable. A journal does it with one write in place and one sync:
// an object lies in a slot until its own file is durable too, which then costs little, as it is done for several objects together.
//
// A slot is the mark, the CRC-32C of what follows, the lengths of path and file, and both. One that does not fit its checksum holds nothing.
const (
	// JournalFile is its name in the spool's folder.
	JournalFile = "objects.journal"
	journalMark = "LXSLOT1\n"
	slotHead    = len(journalMark) + 4 + 2 + 4
	// slotLength is that of a slot; larger objects are synced as files.
	slotLength = 1 << 20
	// slots bounds how many objects lie in the journal, and so its size.
	slots = 32
	// journalWriters is how many objects are written to it at a time. With more, the syncs of files share what they cost.
	journalWriters = 2
	// settlers is how many files are synced at a time.
	settlers = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn is what a slot holds that was not written whole.
var errTorn = errors.New("spool: the slot does not fit its checksum")

// Journal is the file of slots.
type Journal interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the bytes durable.
	Sync() error
	Close() error
}

// journal is the objects that are durable in a slot and perhaps not yet in their own file.
type journal struct {
	file Journal // what reads and clears
	// writers write, each with a descriptor of its own: the kernel tells a failed write once to each, and a sync by another must not hide it.
	writers chan Journal

	settling sync.Mutex // one settles at a time

	mu      sync.Mutex
	free    []int // slots that hold nothing, the next one last
	dirty   []int // slots of which that is not known: a write to them failed
	writing int
	held    map[string]*heldObject // by path relative to the spool
	ready   chan struct{}          // something is held
}

// heldObject is an object that lies in a slot.
type heldObject struct {
	slot int
	file File // still open, so that its sync hears of every failed write; nil after a sync that failed
}

func openJournal(files Files, path string) (*journal, error) {
	j := &journal{writers: make(chan Journal, journalWriters), held: map[string]*heldObject{}, ready: make(chan struct{}, 1)}
	for i := range slots {
		j.free = append(j.free, slots-1-i)
	}
	var err error
	if j.file, err = files.OpenJournal(path); err != nil {
		return nil, err
	}
	for range journalWriters {
		writer, err := files.OpenJournal(path)
		if err != nil {
			return nil, errors.Join(err, j.close())
		}
		j.writers <- writer
	}
	return j, nil
}

// close closes the journal, to which nobody writes.
func (j *journal) close() error {
	err := j.file.Close()
	for len(j.writers) > 0 {
		err = errors.Join(err, (<-j.writers).Close())
	}
	return err
}

// slotBuffers are those that slots are written from.
var slotBuffers = sync.Pool{New: func() any { return new([slotLength]byte) }}

// take returns a free slot for an object that fits one; false when it must be synced as a file.
func (j *journal) take(relative string, length int64) (slot int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if int64(slotHead+len(relative))+length > slotLength || j.writing >= journalWriters || len(j.free) == 0 || j.held[relative] != nil {
		return 0, false
	}
	slot = j.free[len(j.free)-1]
	j.free = j.free[:len(j.free)-1]
	j.writing++
	return slot, true
}

// written ends what take began; file is nil when it failed.
func (j *journal) written(relative string, slot int, file File) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writing--
	if file == nil {
		j.dirty = append(j.dirty, slot)
	} else {
		j.held[relative] = &heldObject{slot, file}
	}
	j.again()
}

// again has what is held settled once more.
func (j *journal) again() {
	select {
	case j.ready <- struct{}{}:
	default:
	}
}

// holds reports whether a start now might make the object anew.
func (j *journal) holds(relative string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held[relative] != nil || len(j.dirty) > 0
}

// write makes a file of the given length durable in a slot.
func (j *journal) write(slot int, relative string, file io.ReaderAt, length int64) error {
	body := slotHead + len(relative)
	buffer := slotBuffers.Get().(*[slotLength]byte)
	defer slotBuffers.Put(buffer)
	raw := buffer[:body+int(length)]
	if n, err := file.ReadAt(raw[body:], 0); n < int(length) {
		return fmt.Errorf("reading it back: %w", err)
	}
	encodeSlot(raw, relative)
	writer := <-j.writers
	defer func() { j.writers <- writer }()
	if _, err := writer.WriteAt(raw, int64(slot)*slotLength); err != nil {
		return err
	}
	return writer.Sync()
}

// encodeSlot completes a slot whose file is in place behind the room for its path.
func encodeSlot(raw []byte, relative string) {
	copy(raw, journalMark)
	sum := raw[len(journalMark):slotHead]
	binary.BigEndian.PutUint16(sum[4:], uint16(len(relative)))
	binary.BigEndian.PutUint32(sum[6:], uint32(len(raw)-slotHead-len(relative)))
	copy(raw[slotHead:], relative)
	binary.BigEndian.PutUint32(sum, slotSum(sum[4:], raw[slotHead:]))
}

func slotSum(lengths, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(lengths, castagnoli), castagnoli, rest)
}

// decodeSlot returns what a slot holds: no path when it is empty.
func decodeSlot(raw []byte) (relative string, file []byte, err error) {
	if len(raw) < slotHead || string(raw[:len(journalMark)]) != journalMark {
		return "", nil, nil
	}
	sum := raw[len(journalMark):slotHead]
	path, length := int(binary.BigEndian.Uint16(sum[4:])), int(binary.BigEndian.Uint32(sum[6:]))
	rest := raw[slotHead:]
	if path+length > len(rest) || path == 0 {
		return "", nil, errTorn
	}
	rest = rest[:path+length]
	if binary.BigEndian.Uint32(sum) != slotSum(sum[4:], rest) {
		return "", nil, errTorn
	}
	return string(rest[:path]), rest[path:], nil
}

// read returns what a slot holds.
func (j *journal) read(slot int) (relative string, file []byte, err error) {
	head := make([]byte, slotHead)
	at := int64(slot) * slotLength
	n, err := j.file.ReadAt(head, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", nil, err
	}
	length := slotHead + slotContent(head[:n])
	if length == slotHead || length > slotLength {
		return decodeSlot(head[:n])
	}
	raw := make([]byte, length)
	if n, err = j.file.ReadAt(raw, at); err != nil && !errors.Is(err, io.EOF) {
		return "", nil, err
	}
	return decodeSlot(raw[:n])
}

// slotContent is how many bytes follow the head of a slot, as it says; 0 when it holds nothing.
func slotContent(head []byte) int {
	if len(head) < slotHead || string(head[:len(journalMark)]) != journalMark {
		return 0
	}
	lengths := head[len(journalMark)+4:]
	return int(binary.BigEndian.Uint16(lengths)) + int(binary.BigEndian.Uint32(lengths[2:]))
}

// clear empties slots durably.
func (j *journal) clear(taken []int) error {
	if len(taken) == 0 {
		return nil
	}
	for _, slot := range taken {
		if _, err := j.file.WriteAt(make([]byte, slotHead), int64(slot)*slotLength); err != nil {
			return err
		}
	}
	return j.file.Sync()
}

// recoverJournal writes what the last process left in slots to its files.
func (s *Spool) recoverJournal() error {
	var full []int
	for slot := range slots {
		relative, file, err := s.journal.read(slot)
		if errors.Is(err, errTorn) { // nobody was told of it
			full = append(full, slot)
			continue
		}
		if err != nil {
			return fmt.Errorf("spool: reading the journal: %w", err)
		}
		if relative == "" {
			continue
		}
		if !filepath.IsLocal(relative) || filepath.Dir(filepath.Dir(relative)) != objects {
			return fmt.Errorf("spool: the journal names a file that is no object: %q", relative)
		}
		if err := s.rewrite(relative, file); err != nil {
			return fmt.Errorf("spool: writing an object from the journal: %w", err)
		}
		full = append(full, slot)
	}
	if err := s.journal.clear(full); err != nil {
		return fmt.Errorf("spool: clearing the journal: %w", err)
	}
	return nil
}

// rewrite makes a file anew, durably.
func (s *Spool) rewrite(relative string, content []byte) error {
	file, err := s.files.CreateTemp(filepath.Join(s.root, incoming))
	if err != nil {
		return err
	}
	n, err := file.Write(content)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.discard(file)
		return err
	}
	return s.place(file, s.Path(relative))
}

// Settle makes the objects that lie in the journal durable in their own files and empties their slots. What fails stays in its slot.
func (s *Spool) Settle() error {
	j := s.journal
	j.settling.Lock()
	defer j.settling.Unlock()
	j.mu.Lock()
	paths := make([]string, 0, len(j.held))
	for relative := range j.held {
		paths = append(paths, relative)
	}
	slices.Sort(paths)
	held := make([]*heldObject, len(paths))
	for i, relative := range paths {
		held[i] = j.held[relative]
	}
	empty := j.dirty
	j.dirty = nil
	j.mu.Unlock()
	failed := make([]error, len(paths))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(settlers, len(paths)) {
		wg.Go(func() {
			for i := range next {
				failed[i] = s.settle(paths[i], held[i])
			}
		})
	}
	for i := range paths {
		next <- i
	}
	close(next)
	wg.Wait()
	for i, object := range held {
		if failed[i] == nil {
			empty = append(empty, object.slot)
		}
	}
	cleared := j.clear(empty)
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, relative := range paths {
		if failed[i] == nil {
			delete(j.held, relative)
		}
	}
	if cleared == nil {
		j.free = append(j.free, empty...)
	} else {
		j.dirty = append(j.dirty, empty...)
	}
	if err := errors.Join(append(failed, cleared)...); err != nil {
		return fmt.Errorf("spool: making objects durable as files: %w", err)
	}
	return nil
}

// settle makes one object durable in its own file. After a sync that failed the file may lack bytes that the next one would not miss: it
// is written anew from the slot.
func (s *Spool) settle(relative string, object *heldObject) error {
	if object.file != nil {
		err := errors.Join(object.file.Sync(), object.file.Close())
		object.file = nil
		if err == nil {
			return s.files.SyncFolder(filepath.Dir(s.Path(relative)))
		}
	}
	path, content, err := s.journal.read(object.slot)
	if err == nil && path != relative {
		err = errTorn
	}
	if err != nil {
		return err
	}
	return s.rewrite(relative, content)
}
