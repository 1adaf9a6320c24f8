package ingest

import (
	"sync"
	"time"
)

// Many objects arrive at once when bulkObjects came within bulkTime: an archive sends what it has, not a room an examination.
const (
	bulkObjects = 16
	bulkTime    = time.Second
)

// pace knows when the last objects arrived. The zero value is ready.
type pace struct {
	mu   sync.Mutex
	last [bulkObjects]time.Time // a ring
	next int                    // the oldest
}

func (p *pace) note(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[p.next] = now
	p.next = (p.next + 1) % bulkObjects
}

func (p *pace) bulk(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.last[p.next]) < bulkTime
}

// Bulk reports whether many objects arrive just now, whose senders wait for the disk: other work on it may give way for a moment.
func (r *Receiver) Bulk() bool { return r.pace.bulk(time.Now()) }
