package signon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Bounds of log-ins that were begun and did not come back.
const (
	AttemptLife = 10 * time.Minute // for a password and a second factor
	maxAttempts = 5000             // the oldest gives way
)

// attempt is a log-in that was begun.
type attempt struct {
	provider        *metadata
	nonce, verifier string
	browser         [sha256.Size]byte // digest of what its cookie holds
	to              string            // where it goes on afterwards
	begun           time.Time
}

// attempts are kept by their state, each until it comes back once.
type attempts struct {
	mu   sync.Mutex
	list map[string]attempt
}

func (a *attempts) add(state string, one attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.list == nil {
		a.list = map[string]attempt{}
	}
	oldest := ""
	for s, other := range a.list {
		if one.begun.Sub(other.begun) > AttemptLife {
			delete(a.list, s)
		} else if oldest == "" || other.begun.Before(a.list[oldest].begun) {
			oldest = s
		}
	}
	if len(a.list) >= maxAttempts {
		delete(a.list, oldest)
	}
	a.list[state] = one
}

// take returns a log-in that comes back. It is gone then, whatever becomes of it: a state is good once.
func (a *attempts) take(state, binding string, now time.Time) (attempt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.list[state]
	delete(a.list, state)
	digest := sha256.Sum256([]byte(binding))
	if !ok || now.Sub(one.begun) > AttemptLife || subtle.ConstantTimeCompare(one.browser[:], digest[:]) != 1 {
		return attempt{}, ErrAttempt
	}
	return one, nil
}

// Begin begins a log-in. The browser goes to address; binding is a secret that it must show when it comes back, so that nobody can be made to
// finish another's log-in. to is where it goes on afterwards.
func (p *Provider) Begin(ctx context.Context, to string) (address, binding string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m, err := p.ask(ctx)
	if err != nil {
		return "", "", err
	}
	state, nonce, binding := random(), random(), random()
	verifier := oauth2.GenerateVerifier()
	p.attempts.add(state, attempt{m, nonce, verifier, sha256.Sum256([]byte(binding)), to, p.now()})
	return m.oauth.AuthCodeURL(state, gooidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), binding, nil
}

// random is a text that nobody guesses.
func random() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}
