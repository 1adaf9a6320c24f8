package web

import (
	"sync"
	"time"
)

// Bounds of the pictures that are kept. An appliance's image has some 12 MB of values.
const (
	picturesFor      = time.Minute // after the last decoding: an image that was rejected is soon gone from here too
	maxPictures      = 64
	maxPicturesBytes = 256 << 20
	maxDecoding      = 2 // at once: more would not be sooner, and each needs memory
)

// pictures keeps what was decoded a moment ago: readers who open the same study at once wait for one decoding. Its zero value is ready.
type pictures struct {
	mu       sync.Mutex
	list     []*picture // oldest first
	decoding chan struct{}
}

// picture is one answer, ready when done is closed.
type picture struct {
	key  string
	at   time.Time
	done chan struct{}
	data []byte
	err  error
}

// get returns what decode returned for key a moment ago, waits for one under way, or calls it. An error is not kept.
func (p *pictures) get(key string, now time.Time, decode func() ([]byte, error)) ([]byte, error) {
	found, mine := p.find(key, now)
	if !mine {
		<-found.done
		return found.data, found.err
	}
	p.decoding <- struct{}{}
	found.data, found.err = decode()
	<-p.decoding
	close(found.done)
	p.settle(found)
	return found.data, found.err
}

// find returns the picture of key; mine is whether the caller must make it.
func (p *pictures) find(key string, now time.Time) (found *picture, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decoding == nil {
		p.decoding = make(chan struct{}, maxDecoding)
	}
	kept := p.list[:0]
	for _, one := range p.list {
		if now.Sub(one.at) > picturesFor {
			continue
		}
		kept = append(kept, one)
		if one.key == key {
			found = one
		}
	}
	clear(p.list[len(kept):])
	p.list = kept
	if found != nil {
		return found, false
	}
	found = &picture{key: key, at: now, done: make(chan struct{})}
	p.list = append(p.list, found)
	return found, true
}

// settle forgets a failure, and the oldest pictures that are too many or too large.
func (p *pictures) settle(made *picture) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes := 0
	first := len(p.list)
	for first > 0 && len(p.list)-first < maxPictures {
		if bytes += p.list[first-1].size(); bytes > maxPicturesBytes {
			break
		}
		first--
	}
	kept := []*picture{}
	for _, one := range p.list[first:] {
		if one != made || made.err == nil {
			kept = append(kept, one)
		}
	}
	p.list = kept
}

// size is the bytes of a picture that is ready.
func (p *picture) size() int {
	select {
	case <-p.done:
		return len(p.data)
	default:
		return 0
	}
}
