package models

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/renameio/v2"

	"llamaxr/inference/signing"
	"llamaxr/internal/durable"
)

// signatureFolder holds signatures of adapters, a file each: the adapter's digest, a dot, the key's fingerprint. They are raw, so that
// openssl pkeyutl -verify -rawin checks them too.
const signatureFolder = "signatures"

// Trusting returns the store as one that lets no adapter work which none of the keys has signed; without keys it lets all.
func (s *Store) Trusting(keys []ed25519.PublicKey) *Store {
	out := *s
	out.trusted = keys
	return &out
}

// Statement is what is signed of an adapter: its content, the language model that it is for, and the template that is filled for it.
func (m *Model) Statement() []byte {
	base := ""
	if m.Base != nil {
		base = m.Base.Digest
	}
	return fmt.Appendf(nil, "adapter %s\nbase %s\ntemplate %s\n", m.Digest(), base, m.Template)
}

// Sign signs an adapter after holding its files against its manifest.
func (s *Store) Sign(ctx context.Context, name string, key ed25519.PrivateKey) (*Model, error) {
	m, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	if m.Kind != KindAdapter {
		return nil, fmt.Errorf("models: %s is no adapter: only adapters are signed", name)
	}
	if err := s.Trusting(nil).Verify(ctx, m, nil); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	public, _ := key.Public().(ed25519.PublicKey) // an Ed25519 key has no other
	return m, s.keepSignature(m, public, signing.Sign(key, signing.Adapter, m.Statement()))
}

// keepSignature stores a signature. The lock must be held.
func (s *Store) keepSignature(m *Model, key ed25519.PublicKey, signature []byte) error {
	if err := os.MkdirAll(s.path(signatureFolder), 0o700); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	path := s.path(signatureFolder, m.Digest()+"."+signing.Fingerprint(key))
	if err := renameio.WriteFile(path, signature, 0o600); err != nil {
		return fmt.Errorf("models: keeping a signature: %w", err)
	}
	return durable.Names(s.path(signatureFolder))
}

// Signatures returns the signatures that are kept of an adapter, by the fingerprint of their keys; whether they hold is for others to say.
func (s *Store) Signatures(m *Model) (map[string][]byte, error) {
	names, err := fs.Glob(os.DirFS(s.path(signatureFolder)), m.Digest()+".*")
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		signature, err := readSmall(s.path(signatureFolder, name), ed25519.SignatureSize)
		if err != nil {
			return nil, fmt.Errorf("models: signature: %w", err)
		}
		out[strings.TrimPrefix(name, m.Digest()+".")] = signature
	}
	return out, nil
}

// SignedBy returns the fingerprint of a trusted key that has signed an adapter; its error is signing.ErrUntrusted where none has.
func (s *Store) SignedBy(m *Model, trusted []ed25519.PublicKey) (string, error) {
	signatures, err := s.Signatures(m)
	if err != nil {
		return "", err
	}
	for _, signature := range signatures {
		if key, err := signing.Verify(trusted, signing.Adapter, m.Statement(), signature); err == nil {
			return signing.Fingerprint(key), nil
		}
	}
	return "", fmt.Errorf("models: adapter %s: %w (of %d keys in adapters.trusted_keys); `llamaxr adapter sign %s` signs it", m.Name, signing.ErrUntrusted,
		len(trusted), m.Name)
}

// authentic holds an adapter against the trusted keys, where there are any.
func (s *Store) authentic(m *Model) error {
	if len(s.trusted) == 0 || m.Kind != KindAdapter {
		return nil
	}
	_, err := s.SignedBy(m, s.trusted)
	return err
}
