package daemon

import (
	"context"
	"sync"
)

// turns are studies of which only one worker at a time has the say. Its zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when it is given back
}

// take waits until nobody has a study, and returns what gives it back, once however often it is called.
func (t *turns) take(ctx context.Context, uid string) (give func(), err error) {
	for {
		t.mu.Lock()
		other := t.taken[uid]
		if other == nil {
			break
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-other:
		}
	}
	defer t.mu.Unlock()
	if t.taken == nil {
		t.taken = map[string]chan struct{}{}
	}
	mine := make(chan struct{})
	t.taken[uid] = mine
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.taken, uid)
		close(mine)
	}), nil
}
