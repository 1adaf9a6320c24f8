package atrest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"llamaxr/internal/durable"

	"filippo.io/age"
	"github.com/google/renameio/v2"
)

// Errors of keys.
var (
	// ErrNoKey is returned for an encrypted file or state by who has no key.
	ErrNoKey = errors.New("it is encrypted and no key is configured (encryption.key)")
	// ErrWrongKey is returned when a state was encrypted for another key.
	ErrWrongKey = errors.New("it is encrypted with another key than encryption.key")
)

const (
	// claimFile, in the state folder, names the key that the state is encrypted for by its public half.
	claimFile = "encryption.json"
	// maxKeyFile bounds a file with a key: one line and comments.
	maxKeyFile = 16 << 10
)

// Key encrypts and decrypts; nil leaves files plain.
type Key struct {
	identity  *age.X25519Identity
	recipient *age.X25519Recipient
}

// NewKey makes a key.
func NewKey() (*Key, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("atrest: making a key: %w", err)
	}
	return &Key{identity, identity.Recipient()}, nil
}

// ReadKey reads a key as age-keygen writes it: one line that begins with AGE-SECRET-KEY-1, beside comments. An empty path is no key.
func ReadKey(path string) (*Key, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("atrest: key: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("atrest: key: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("atrest: key: %s is longer than %d bytes", path, maxKeyFile)
	}
	var key *Key
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, err := age.ParseX25519Identity(line)
		if err != nil || key != nil { // the error may quote the line, which is a secret
			return nil, fmt.Errorf("atrest: key: %s must hold one line that begins with AGE-SECRET-KEY-1, as age-keygen writes it", path)
		}
		key = &Key{identity, identity.Recipient()}
	}
	if key == nil {
		return nil, fmt.Errorf("atrest: key: %s holds no key", path)
	}
	return key, nil
}

// Text is the key as a file holds it.
func (k *Key) Text() string {
	return "# public key: " + k.recipient.String() + "\n" + k.identity.String() + "\n"
}

// Public is the public half, which may be shown; empty for no key.
func (k *Key) Public() string {
	if k == nil {
		return ""
	}
	return k.recipient.String()
}

// claim is what claimFile holds.
type claim struct {
	Recipient string `json:"recipient"`
}

// Claimed is the public half of the key that a state is encrypted for, empty when it is not.
func Claimed(state string) (string, error) {
	text, err := os.ReadFile(filepath.Join(state, claimFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("atrest: %w", err)
	}
	var c claim
	if err := json.Unmarshal(text, &c); err != nil || c.Recipient == "" {
		return "", fmt.Errorf("atrest: %s does not say which key the state is encrypted with", claimFile)
	}
	return c.Recipient, nil
}

// Check holds a key against a state: ErrNoKey and ErrWrongKey say that it must not be opened with it.
func (k *Key) Check(state string) error {
	claimed, err := Claimed(state)
	switch {
	case err != nil:
		return err
	case claimed == "" || claimed == k.Public():
		return nil
	case k == nil:
		return fmt.Errorf("atrest: state folder %s: %w; it is that of %s", state, ErrNoKey, claimed)
	}
	return fmt.Errorf("atrest: state folder %s: %w; it is that of %s, not of %s", state, ErrWrongKey, claimed, k.Public())
}

// Claim checks a key and, with one, says in the state that it is encrypted for it: durable before any file is.
func (k *Key) Claim(state string) error {
	if err := k.Check(state); err != nil || k == nil {
		return err
	}
	path := filepath.Join(state, claimFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	text, err := json.Marshal(claim{k.Public()})
	if err != nil {
		return fmt.Errorf("atrest: %w", err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("atrest: saying which key the state is encrypted with: %w", err)
	}
	return durable.Names(state)
}

// Disclaim says that a state is no longer encrypted.
func Disclaim(state string) error {
	if err := os.Remove(filepath.Join(state, claimFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("atrest: %w", err)
	}
	return durable.Names(state)
}
