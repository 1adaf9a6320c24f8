package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2"
)

// Head is the state of a log after its last line.
type Head struct {
	Count int64  `json:"count"` // of lines
	Bytes int64  `json:"bytes"` // of the file
	Last  string `json:"last"`  // SHA-256 of the last line without its end, hexadecimal; empty when there is none
}

// String is how a head is written down: the number of lines and the digest of the last.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Count, h.Last) }

// HeadFile is the file that holds a log's head.
func HeadFile(path string) string { return path + ".head" }

// maxHead bounds the file of a head.
const maxHead = 4 << 10

// Log appends to a file and never changes what is there.
type Log struct {
	path    string
	maxLine int

	waitingMu sync.Mutex
	waiting   []*addition

	mu   sync.Mutex
	file *os.File
	sync func() error // the file's
	head Head
	end  int64 // of the lines in the file; less than the head's where the file was cut
}

// addition is a line that somebody waits to have on disk.
type addition struct {
	entry func(previous string) any
	done  bool // err is what became of it; Log.mu is held
	err   error
}

// Open opens or makes a log whose lines are shorter than maxLine bytes. Lines that a crash wrote behind the head are taken in when they are
// whole and follow from it, else cut off: nobody was told that they are there. Where the file has less than the head says, the log goes on
// from the head: its next line does not follow the last one, so that Verify finds the gap for ever.
func Open(path string, maxLine int) (*Log, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	l := &Log{path: path, maxLine: maxLine, file: file, sync: file.Sync}
	if err := l.resume(); err != nil {
		file.Close()
		return nil, fmt.Errorf("chain: opening %s: %w", filepath.Base(path), err)
	}
	return l, nil
}

func (l *Log) resume() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	head, err := readHead(l.path)
	if err != nil {
		return err
	}
	known := head != nil
	if !known {
		head = new(Head)
	}
	l.head, l.end = *head, info.Size()
	if l.end < l.head.Bytes {
		return l.endLine()
	}
	lines, err := l.after(l.head.Bytes, info.Size())
	if err != nil {
		return err
	}
	for _, line := range lines {
		if known && follows(line.Data, l.head.Last) != nil {
			break
		}
		l.head = l.head.next(line.Data)
	}
	l.end = l.head.Bytes
	if l.end < info.Size() {
		if err := errors.Join(l.file.Truncate(l.end), l.sync()); err != nil {
			return err
		}
	}
	if known && l.head == *head {
		return nil
	}
	return l.writeHead()
}

// endLine ends a line that the file was cut in, so that the next one can be read.
func (l *Log) endLine() error {
	last := make([]byte, 1)
	if l.end == 0 {
		return nil
	}
	if _, err := l.file.ReadAt(last, l.end-1); err != nil || last[0] == '\n' {
		return err
	}
	return l.write([]byte{'\n'})
}

// next is the head after one more line.
func (h Head) next(line []byte) Head {
	return Head{h.Count + 1, h.Bytes + int64(len(line)) + 1, digest(line)}
}

func digest(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// follows reports why a line does not come after the one with a digest.
func follows(line []byte, last string) error {
	var link struct {
		Previous *string `json:"previous"`
	}
	if err := json.Unmarshal(line, &link); err != nil {
		return err
	}
	if link.Previous == nil || *link.Previous != last {
		return errors.New("it does not follow the line before: something was changed or taken out")
	}
	return nil
}

func readHead(path string) (*Head, error) {
	data, err := readUpTo(HeadFile(path), maxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	head := new(Head)
	if err := json.Unmarshal(data, head); err != nil {
		return nil, fmt.Errorf("its head: %w", err)
	}
	if head.Count < 0 || head.Bytes < head.Count {
		return nil, fmt.Errorf("its head counts %d lines in %d bytes", head.Count, head.Bytes)
	}
	return head, nil
}

func readUpTo(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

func (l *Log) writeHead() error {
	text, err := json.Marshal(l.head)
	if err != nil {
		return err
	}
	return renameio.WriteFile(HeadFile(l.path), append(text, '\n'), 0o600)
}

// Append adds what entry makes of the digest of the line before; it must hold it under the key "previous". It is on disk when Append
// returns nil. Lines that wait at the same time go to the disk together: a department that opens a study waits for it once.
func (l *Log) Append(entry func(previous string) any) error {
	mine := &addition{entry: entry}
	l.waitingMu.Lock()
	l.waiting = append(l.waiting, mine)
	l.waitingMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !mine.done {
		l.waitingMu.Lock()
		group := l.waiting
		l.waiting = nil
		l.waitingMu.Unlock()
		l.add(group)
	}
	return mine.err
}

// add writes the lines of a group, and then the head once. A line that cannot be made does not keep the others back.
func (l *Log) add(group []*addition) {
	var lines []byte
	var made []*addition
	next := l.head
	for _, a := range group {
		a.done = true
		line, err := json.Marshal(a.entry(next.Last))
		switch {
		case err != nil:
			a.err = fmt.Errorf("chain: %w", err)
		case len(line) >= l.maxLine:
			a.err = fmt.Errorf("chain: a line of %d bytes, %d at most", len(line), l.maxLine-1)
		default:
			next, lines, made = next.next(line), append(append(lines, line...), '\n'), append(made, a)
		}
	}
	if len(made) == 0 {
		return
	}
	err := l.write(lines)
	if err != nil {
		err = fmt.Errorf("chain: appending to %s: %w", filepath.Base(l.path), err)
	} else {
		before := l.head
		l.head = next
		if err = l.writeHead(); err != nil {
			// The lines stand; the head on disk is behind them, as after a crash, and the next one brings it up.
			err = fmt.Errorf("chain: head of %s after %s: %w", filepath.Base(l.path), before, err)
		}
	}
	for _, a := range made {
		a.err = err
	}
}

// write appends whole lines or, when the disk does not take all of them, nothing: they were not acknowledged, and what follows must not stand
// behind them.
func (l *Log) write(lines []byte) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.end = min(l.end, info.Size()); l.end < info.Size() { // they could not be cut off when they failed
		if err := l.file.Truncate(l.end); err != nil {
			return err
		}
	}
	if _, err = l.file.Write(lines); err == nil {
		err = l.sync()
	}
	if err != nil {
		return errors.Join(err, l.file.Truncate(l.end))
	}
	l.end += int64(len(lines))
	return nil
}

// Head is the log's head.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// End is the offset behind the last line, for After. It is not the head's where lines are missing.
func (l *Log) End() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Close closes the log.
func (l *Log) Close() error { return l.file.Close() }

// Line is one line with where it ends.
type Line struct {
	Data []byte // without its end
	End  int64  // offset of the next line
}

// maxPart bounds what After and Last read at once, in bytes.
const maxPart = 1 << 20

// After returns the lines that begin at an offset, the oldest first: some at a time, none at the end.
func (l *Log) After(offset int64) ([]Line, error) {
	return l.after(offset, min(l.End(), offset+maxPart))
}

// after returns the whole lines between two offsets.
func (l *Log) after(from, to int64) (lines []Line, err error) {
	if to <= from {
		return nil, nil
	}
	data := make([]byte, to-from)
	if _, err := l.file.ReadAt(data, from); err != nil {
		return nil, fmt.Errorf("chain: reading %s: %w", filepath.Base(l.path), err)
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return lines, nil
		}
		from += int64(len(line)) + 1
		lines, data = append(lines, Line{line, from}), rest
	}
}

// Last returns the newest n lines at most, the newest first, without reading the log from its beginning.
func (l *Log) Last(n int) ([][]byte, error) {
	end := l.End()
	begin := max(0, end-maxPart)
	lines, err := l.after(begin, end)
	if err != nil {
		return nil, err
	}
	if begin > 0 && len(lines) > 0 {
		lines = lines[1:] // it may be cut
	}
	var out [][]byte
	for i := len(lines) - 1; i >= 0 && len(out) < n; i-- {
		out = append(out, lines[i].Data)
	}
	return out, nil
}
