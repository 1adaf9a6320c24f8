package access

import (
	"context"
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

// Sessions are those who are logged in. They are kept in memory: a restart of the appliance ends them.
type Sessions struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]*session // by the token's digest: a copy of the memory gives no token away
}

type session struct {
	Session
	heard time.Time
}

// Session is who is logged in since when.
type Session struct {
	User  string // name
	Begun time.Time
	// SignedOn tells who somebody is now for whom an OpenID provider vouches, or why it does so no longer; nil for a user of the site's own file.
	// LogOut is where a browser logs out at that provider too; empty where it cannot.
	SignedOn func(context.Context) (User, error)
	LogOut   string
}

// Begin starts a session of a user of the site's own file and returns its token.
func (s *Sessions) Begin(user string, now time.Time) (token string, err error) {
	return s.begin(Session{User: user, Begun: now})
}

// BeginSignedOn starts a session of a person that an OpenID provider vouches for. He is who signedOn says each time.
func (s *Sessions) BeginSignedOn(user, logOut string, signedOn func(context.Context) (User, error), now time.Time) (token string, err error) {
	return s.begin(Session{User: user, Begun: now, SignedOn: signedOn, LogOut: logOut})
}

func (s *Sessions) begin(of Session) (token string, err error) {
	now := of.Begun
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
	s.list[sha256.Sum256([]byte(token))] = &session{of, now}
	return token, nil
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.heard) > SessionIdle || now.Sub(s.Begun) > SessionLife
}

// Of returns the session that a token belongs to. active is whether a person asked: only that counts as a sign of life, or a page that is left
// open would keep its session for ever.
func (s *Sessions) Of(token string, now time.Time, active bool) (Session, bool) {
	key := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.list[key]
	if found == nil {
		return Session{}, false
	}
	if found.over(now) {
		delete(s.list, key)
		return Session{}, false
	}
	if active {
		found.heard = now
	}
	return found.Session, true
}

// End ends a session; false means that there was none.
func (s *Sessions) End(token string) bool {
	key := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.list[key]
	delete(s.list, key)
	return there
}
