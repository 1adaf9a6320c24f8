package access

import (
	"encoding/json"
	"fmt"
	"time"

	"llamaxr/daemon/chain"
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

// MaxLine bounds a line of the log.
const MaxLine = 16 << 10

// AuditLog appends to a chained file and never changes what is there.
type AuditLog struct{ log *chain.Log }

// OpenAuditLog opens or makes the log.
func OpenAuditLog(path string) (*AuditLog, error) {
	log, err := chain.Open(path, MaxLine)
	if err != nil {
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	return &AuditLog{log}, nil
}

// Add appends an entry; it is on disk when Add returns.
func (l *AuditLog) Add(e Entry) error {
	err := l.log.Append(func(previous string) any {
		e.Time, e.Previous = e.Time.UTC(), previous
		return e
	})
	if err != nil {
		return fmt.Errorf("access: audit log: %w", err)
	}
	return nil
}

// Close closes the log.
func (l *AuditLog) Close() error { return l.log.Close() }

// Log is the chain below.
func (l *AuditLog) Log() *chain.Log { return l.log }

// ReadAudit visits a log's entries, oldest first, and fails where the chain is broken. A log that was never begun has no entries.
func ReadAudit(path string, visit func(Entry)) (chain.Head, error) {
	head, err := chain.Verify(path, MaxLine, func(line []byte) error {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		visit(e)
		return nil
	})
	if err != nil {
		return head, fmt.Errorf("access: audit log: %w", err)
	}
	return head, nil
}

// LastEntries returns the newest n entries, newest first, without reading the log from its beginning.
func (l *AuditLog) LastEntries(n int) ([]Entry, error) {
	lines, err := l.log.Last(n)
	if err != nil {
		return nil, fmt.Errorf("access: audit log: %w", err)
	}
	out := make([]Entry, 0, len(lines))
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			continue // the log was cut here, which ReadAudit tells
		}
		out = append(out, e)
	}
	return out, nil
}
