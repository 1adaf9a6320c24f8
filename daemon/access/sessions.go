package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

// Ends of a session.
const (
	SessionIdle = 60 * time.Minute // without a request
	SessionLife = 12 * time.Hour   // a shift
	maxSessions = 2000
)

// ErrSessions is returned when too many people are logged in.
var ErrSessions = errors.New("access: too many sessions")

// Sessions are those who are logged in. They are kept in memory: a restart of the appliance asks for passwords again.
type Sessions struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]*session // by the token's digest: a copy of the memory gives no token away
}

type session struct {
	user         string
	begun, heard time.Time
}

// Begin starts a session and returns its token.
func (s *Sessions) Begin(user string, now time.Time) (token string, err error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	token = base64.RawURLEncoding.EncodeToString(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[[sha256.Size]byte]*session{}
	}
	for key, old := range s.list {
		if old.over(now) {
			delete(s.list, key)
		}
	}
	if len(s.list) >= maxSessions {
		return "", ErrSessions
	}
	s.list[sha256.Sum256([]byte(token))] = &session{user, now, now}
	return token, nil
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.heard) > SessionIdle || now.Sub(s.begun) > SessionLife
}

// User returns whose session a token is and when it began. active is whether a person asked: only that counts as a sign of life, or a
// page that is left open would keep its session for ever.
func (s *Sessions) User(token string, now time.Time, active bool) (name string, begun time.Time, ok bool) {
	key := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.list[key]
	if found == nil {
		return "", time.Time{}, false
	}
	if found.over(now) {
		delete(s.list, key)
		return "", time.Time{}, false
	}
	if active {
		found.heard = now
	}
	return found.user, found.begun, true
}

// End ends a session.
func (s *Sessions) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, sha256.Sum256([]byte(token)))
}
