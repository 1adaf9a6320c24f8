package web

import (
	"errors"
	"sync"
	"time"
)

// Bounds of the answers that are kept. An appliance's image has some 12 MB of values.
const (
	answersFor      = time.Minute // after they were made: an image that was rejected is soon gone from here too
	maxAnswers      = 64
	maxAnswersBytes = 256 << 20
	maxMaking       = 2 // at once: more would not be sooner, and each needs memory
)

// answers keeps what was made a moment ago: readers who ask for the same at once wait for one making of it. Its zero value is ready.
type answers struct {
	mu     sync.Mutex
	list   []*answer // oldest first
	making chan struct{}
}

// answer is one of them, ready when done is closed.
type answer struct {
	key  string
	at   time.Time
	done chan struct{}
	data []byte
	err  error
}

// get returns what produce returned for key a moment ago, waits for one under way, or calls it. An error is not kept.
func (p *answers) get(key string, now time.Time, produce func() ([]byte, error)) ([]byte, error) {
	found, mine := p.find(key, now)
	if !mine {
		<-found.done
		return found.data, found.err
	}
	found.err = errNotMade // unless it is, or why
	p.making <- struct{}{}
	defer func() {
		<-p.making
		close(found.done)
		p.settle(found)
	}()
	found.data, found.err = produce()
	return found.data, found.err
}

// errNotMade is for those who wait for an answer whose making panicked.
var errNotMade = errors.New("web: the answer was not made")

// find returns the answer of key; mine is whether the caller must make it.
func (p *answers) find(key string, now time.Time) (found *answer, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.making == nil {
		p.making = make(chan struct{}, maxMaking)
	}
	kept := p.list[:0]
	for _, one := range p.list {
		if now.Sub(one.at) > answersFor {
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
	found = &answer{key: key, at: now, done: make(chan struct{})}
	p.list = append(p.list, found)
	return found, true
}

// settle forgets a failure, and the oldest answers that are too many or too large.
func (p *answers) settle(made *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes := 0
	first := len(p.list)
	for first > 0 && len(p.list)-first < maxAnswers {
		if bytes += p.list[first-1].size(); bytes > maxAnswersBytes {
			break
		}
		first--
	}
	kept := []*answer{}
	for _, one := range p.list[first:] {
		if one != made || made.err == nil {
			kept = append(kept, one)
		}
	}
	p.list = kept
}

// size is the bytes of an answer that is ready.
func (p *answer) size() int {
	select {
	case <-p.done:
		return len(p.data)
	default:
		return 0
	}
}
