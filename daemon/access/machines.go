package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tokenPrefix tells people what they found.
const tokenPrefix = "llamaxr_"

// tokenSize is that of a token's random part in bytes: nobody guesses one, so a plain digest of it may be kept.
const tokenSize = 32

// ErrToken is returned for a token that is no machine's.
var ErrToken = errors.New("access: the token is not known")

// AddMachine makes a user that is a program. It shows a token instead of a password, which is returned and kept as its digest only.
func (u *Users) AddMachine(user User) (token string, err error) {
	user.Machine = true
	if err := user.check(); err != nil {
		return "", err
	}
	token, digest, err := newToken()
	if err != nil {
		return "", err
	}
	return token, u.add(user, func(user *User) { user.Token = digest })
}

// SetToken gives a machine another token; the one from before ends.
func (u *Users) SetToken(name string) (token string, err error) {
	token, digest, err := newToken()
	if err != nil {
		return "", err
	}
	return token, u.change(func(list []User) ([]User, error) {
		i := find(list, strings.ToLower(name))
		switch {
		case i < 0:
			return nil, ErrNoUser
		case !list[i].Machine:
			return nil, fmt.Errorf("access: %s is a person, who logs in with a password", list[i].Name)
		}
		list[i].Token, list[i].Changed = digest, time.Now().UTC()
		return list, nil
	})
}

// AuthenticateToken returns the machine that a token belongs to.
func (u *Users) AuthenticateToken(token string) (User, error) {
	digest := []byte(digestOf(token))
	u.mu.RLock()
	defer u.mu.RUnlock()
	for _, user := range u.list {
		if user.Machine && subtle.ConstantTimeCompare([]byte(user.Token), digest) == 1 {
			return user, nil
		}
	}
	return User{}, ErrToken
}

func newToken() (token, digest string, err error) {
	raw := make([]byte, tokenSize)
	if _, err := rand.Read(raw); err != nil {
		return "", "", fmt.Errorf("access: token: %w", err)
	}
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return token, digestOf(token), nil
}

func digestOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
