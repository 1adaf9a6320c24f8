package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Entry is one line of the audit log: who did what to which study, from where. It names no patient.
type Entry struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user,omitempty"`
	Address string    `json:"address,omitempty"`
	Act     string    `json:"act"`
	Study   string    `json:"study,omitempty"` // Study Instance UID
	Detail  string    `json:"detail,omitempty"`
	// Previous is the SHA-256 of the line before: a line that was changed or taken out breaks the chain.
	Previous string `json:"previous"`
}

// maxLine bounds a line of the log when it is read.
const maxLine = 16 << 10

// AuditLog appends to a file and never changes what is there.
type AuditLog struct {
	mu       sync.Mutex
	file     *os.File
	previous string
}

// OpenAuditLog opens or makes the log. A last line that a crash cut off is closed, so that it is seen and the next one stands alone.
func OpenAuditLog(path string) (*AuditLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	l := &AuditLog{file: file}
	if err := l.resume(); err != nil {
		file.Close()
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	return l, nil
}

// resume finds the last line.
func (l *AuditLog) resume() error {
	info, err := l.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	tail := make([]byte, min(info.Size(), maxLine))
	if _, err := l.file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if tail[len(tail)-1] != '\n' {
		if _, err := l.file.WriteString("\n"); err != nil {
			return err
		}
	} else {
		tail = tail[:len(tail)-1]
	}
	l.previous = sum(tail[bytes.LastIndexByte(tail, '\n')+1:])
	return nil
}

func sum(line []byte) string {
	digest := sha256.Sum256(line)
	return hex.EncodeToString(digest[:])
}

// Add appends an entry; it is on disk when Add returns.
func (l *AuditLog) Add(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Time, e.Previous = e.Time.UTC(), l.previous
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	if len(line) >= maxLine {
		return fmt.Errorf("access: audit log: a line of %d bytes", len(line))
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	l.previous = sum(line)
	return nil
}

// Close closes the log.
func (l *AuditLog) Close() error { return l.file.Close() }

// ReadAudit visits a log's entries, oldest first, and fails where the chain is broken. A missing log has no entries.
func ReadAudit(path string, visit func(Entry)) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	previous := ""
	for n := 1; lines.Scan(); n++ {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("access: audit log: line %d: %w", n, err)
		}
		if e.Previous != previous {
			return fmt.Errorf("access: audit log: line %d does not follow the line before: something was changed or taken out", n)
		}
		previous = sum(lines.Bytes())
		visit(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	return nil
}

// LastEntries returns the newest n entries, newest first, without reading the log from its beginning.
func (l *AuditLog) LastEntries(n int) ([]Entry, error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	size := min(info.Size(), int64(n)*512)
	tail := make([]byte, size)
	if _, err := l.file.ReadAt(tail, info.Size()-size); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	lines := bytes.Split(bytes.TrimSpace(tail), []byte("\n"))
	var out []Entry
	for i := len(lines) - 1; i >= 0 && len(out) < n; i-- {
		var e Entry
		if json.Unmarshal(lines[i], &e) == nil { // the first may be cut
			out = append(out, e)
		}
	}
	return out, nil
}
