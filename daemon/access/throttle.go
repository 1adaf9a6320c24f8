package access

import (
	"sync"
	"time"
)

// Lockout after wrong passwords: the first freeTries cost nothing, then each doubles the wait.
const (
	freeTries    = 5
	firstLockout = 30 * time.Second
	lastLockout  = 15 * time.Minute
	forgetAfter  = time.Hour
	maxTracked   = 10_000
)

// Lockout slows down whoever guesses a password, key by key: a user name.
type Lockout struct {
	mu   sync.Mutex
	keys map[string]*tries
}

type tries struct {
	failures int
	last     time.Time
	until    time.Time
}

// Wait is how long key must wait before it is heard again; 0 when it need not.
func (l *Lockout) Wait(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.keys[key]; t != nil && t.until.After(now) {
		return t.until.Sub(now)
	}
	return 0
}

// Failed counts a wrong password.
func (l *Lockout) Failed(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]*tries{}
	}
	if len(l.keys) >= maxTracked {
		for k, t := range l.keys {
			if now.Sub(t.last) > forgetAfter || len(l.keys) >= maxTracked {
				delete(l.keys, k)
			}
		}
	}
	t := l.keys[key]
	if t == nil || now.Sub(t.last) > forgetAfter {
		t = &tries{}
		l.keys[key] = t
	}
	t.failures++
	t.last = now
	if over := t.failures - freeTries; over >= 0 {
		wait := firstLockout
		for range over {
			wait = min(2*wait, lastLockout)
		}
		t.until = now.Add(wait)
	}
}

// Succeeded forgets the failures of key.
func (l *Lockout) Succeeded(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
}

// Rate bounds requests: a bucket of Burst tokens a key that fills at PerSecond.
type Rate struct {
	PerSecond, Burst float64
	mu               sync.Mutex
	keys             map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// Allow takes a token; false when there is none.
func (r *Rate) Allow(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil || len(r.keys) >= maxTracked {
		r.keys = map[string]*bucket{}
	}
	b := r.keys[key]
	if b == nil {
		b = &bucket{r.Burst, now}
		r.keys[key] = b
	}
	b.tokens = min(r.Burst, b.tokens+r.PerSecond*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
