package daemon

import (
	"context"
	"sync"
	"time"
)

// maxGiveWay is how long one step of a draft waits for people at most: a study has a few such steps, and drafts must not stand still because
// somebody always reads.
const maxGiveWay = 300 * time.Millisecond

// readers are the requests of people in the reading room that are being answered. Drafting, which nobody watches, gives way to them: an answer
// of some milliseconds does not share the cores with a step that keeps all of them. Its zero value is ready.
type readers struct {
	mu      sync.Mutex
	serving int
	idle    chan struct{} // closed when the last answer is given; nil while nobody waits for that
}

// enter notes that an answer is being made, until leave is called.
func (r *readers) enter() (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.serving--; r.serving == 0 && r.idle != nil {
			close(r.idle)
			r.idle = nil
		}
	}
}

// giveWay waits until no answer is being made, for maxGiveWay at most.
func (r *readers) giveWay(ctx context.Context) {
	r.mu.Lock()
	if r.serving == 0 {
		r.mu.Unlock()
		return
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()
	timer := time.NewTimer(maxGiveWay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-idle:
	case <-timer.C:
	}
}

// Serving notes that a reader waits for an answer, until done is called.
func (a *Appliance) Serving() (done func()) { return a.readers.enter() }
