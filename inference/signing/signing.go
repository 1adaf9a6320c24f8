// Package signing signs what an appliance is to trust (adapters, update bundles) by a site's key: Ed25519 (RFC 8032), keys as PEM files
// (PKCS #8 and PKIX, as openssl genpkey -algorithm ed25519 writes them).
//
// What is signed begins with its kind, so that a signature of one kind is never one of another. Its promise: Verify names the key whose
// signature it is, or fails.
//
//	signature := signing.Sign(key, signing.Adapter, statement)
//	public, err := signing.Verify(trusted, signing.Adapter, statement, signature)
package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kinds of what is signed.
const (
	Adapter = "llamaxr adapter v1"
	Bundle  = "llamaxr bundle v1"
)

// maxKeyFile bounds a file with a key.
const maxKeyFile = 16 << 10

// PublicSuffix ends the name of the file with the public half of a key.
const PublicSuffix = ".pub"

// ErrUntrusted is returned for what no trusted key has signed.
var ErrUntrusted = errors.New("no trusted key has signed it")

// Signed is what a signature is made of.
func Signed(kind string, statement []byte) []byte { return append([]byte(kind+"\n"), statement...) }

// Sign signs a statement.
func Sign(key ed25519.PrivateKey, kind string, statement []byte) []byte {
	return ed25519.Sign(key, Signed(kind, statement))
}

// Verify returns the key among those trusted whose signature it is.
func Verify(trusted []ed25519.PublicKey, kind string, statement, signature []byte) (ed25519.PublicKey, error) {
	for _, key := range trusted {
		if ed25519.Verify(key, Signed(kind, statement), signature) {
			return key, nil
		}
	}
	return nil, ErrUntrusted
}

// Fingerprint names a public key: the first eight bytes of the SHA-256 of its PKIX form.
func Fingerprint(key ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "unknown"
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}

// NewKey makes a key: the private half in a new file for the owner, the public half beside it with PublicSuffix.
func NewKey(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("signing: making a key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := writeNew(path, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}); err != nil {
		return nil, err
	}
	return public, writeNew(path+PublicSuffix, 0o644, &pem.Block{Type: "PUBLIC KEY", Bytes: shown})
}

func writeNew(path string, mode os.FileMode, block *pem.Block) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	_, err = file.Write(pem.EncodeToMemory(block))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	return nil
}

// ReadPrivate reads a private key.
func ReadPrivate(path string) (ed25519.PrivateKey, error) {
	der, err := readBlock(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if private, ok := key.(ed25519.PrivateKey); ok && err == nil {
		return private, nil
	}
	return nil, fmt.Errorf("signing: %s holds no Ed25519 private key", path)
}

// ReadPublic reads public keys, one a file.
func ReadPublic(paths ...string) (keys []ed25519.PublicKey, err error) {
	for _, path := range paths {
		der, err := readBlock(path, "PUBLIC KEY")
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKIXPublicKey(der)
		public, ok := key.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("signing: %s holds no Ed25519 public key", path)
		}
		keys = append(keys, public)
	}
	return keys, nil
}

func readBlock(path, kind string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("signing: key: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("signing: key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("signing: %s does not begin with a PEM block %q", path, kind)
	}
	return block.Bytes, nil
}
