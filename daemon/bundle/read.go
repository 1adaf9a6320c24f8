package bundle

import (
	"archive/tar"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/inference/models"
	"llamaxr/inference/signing"
	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
)

// ErrDamaged is returned for a bundle that is not what was signed; the error names the file.
var ErrDamaged = errors.New("the bundle is not what was signed")

// Verify reads a whole bundle and holds it against its manifest, and that against the trusted keys.
func Verify(r io.Reader, trusted []ed25519.PublicKey) (*Manifest, error) {
	return read(r, trusted, func(File) (io.WriteCloser, error) { return nopCloser{io.Discard}, nil })
}

type nopCloser struct{ io.Writer }

// Close implements io.Closer.
func (nopCloser) Close() error { return nil }

// read gives each file to into. What into has written counts only when read returns without an error.
func read(r io.Reader, trusted []ed25519.PublicKey, into func(File) (io.WriteCloser, error)) (*Manifest, error) {
	in := tar.NewReader(r)
	text, err := small(in, manifestFile, maxManifest)
	if err != nil {
		return nil, err
	}
	signature, err := small(in, signatureFile, ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	if _, err := signing.Verify(trusted, signing.Bundle, text, signature); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", manifestFile, err)
	}
	m, err := parse(text)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		if err := next(in, f.Name, f.Size); err != nil {
			return nil, err
		}
		if err := take(in, f, into); err != nil {
			return nil, err
		}
	}
	switch header, err := in.Next(); {
	case err == nil:
		return nil, fmt.Errorf("bundle: %w: %q is not in %s", ErrDamaged, header.Name, manifestFile)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("bundle: %w: after the last file: %w", ErrDamaged, err)
	}
	return m, nil
}

// next goes on to a file, which must be of a name and, unless size is negative, of a size.
func next(in *tar.Reader, name string, size int64) error {
	header, err := in.Next()
	switch {
	case err != nil:
		return fmt.Errorf("bundle: %w: %s is missing: %w", ErrDamaged, name, err)
	case header.Typeflag != tar.TypeReg || header.Name != name:
		return fmt.Errorf("bundle: %w: %q stands where %s should", ErrDamaged, header.Name, name)
	case size >= 0 && header.Size != size:
		return fmt.Errorf("bundle: %w: %s has %d bytes, want %d", ErrDamaged, name, header.Size, size)
	}
	return nil
}

func small(in *tar.Reader, name string, most int64) ([]byte, error) {
	if err := next(in, name, -1); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("bundle: %w: %s: %w", ErrDamaged, name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("bundle: %w: %s is longer than %d bytes", ErrDamaged, name, most)
	}
	return data, nil
}

func take(in io.Reader, f File, into func(File) (io.WriteCloser, error)) error {
	out, err := into(f)
	if err != nil {
		return fmt.Errorf("bundle: %s: %w", f.Name, err)
	}
	h := sha256.New()
	broken := &faulty{Reader: in}
	_, err = io.Copy(io.MultiWriter(out, h), broken)
	err = errors.Join(err, out.Close())
	switch {
	case broken.err != nil:
		return fmt.Errorf("bundle: %w: %s: %w", ErrDamaged, f.Name, broken.err)
	case err != nil:
		return fmt.Errorf("bundle: writing %s: %w", f.Name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("bundle: %w: %s has SHA-256 %s, want %s", ErrDamaged, f.Name, got, f.SHA256)
	}
	return nil
}

// faulty remembers that reading failed, to tell it from writing.
type faulty struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (f *faulty) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// Target says where a bundle goes beside the registry of models.
type Target struct {
	Program string // the file that its program takes the place of; empty leaves it
	// Older names a bundle by when it was made: that one may take the place of what a newer one brought. Zero lets none.
	Older time.Time
}

// Install puts a bundle's models into a registry. All is staged and verified before anything is changed. What a newer bundle brought stays: an old one
// is as well signed as a new one.
func Install(r io.Reader, store *models.Store, trusted []ed25519.PublicKey, target Target) (*Manifest, error) {
	stage, err := store.Stage()
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(stage) }() // what is left of it is removed by the next
	var program *renameio.PendingFile
	defer func() {
		if program != nil {
			_ = program.Cleanup() // does nothing once it has its place
		}
	}()
	m, err := read(r, trusted, func(f File) (io.WriteCloser, error) {
		if f.Name != programFile {
			return staged(filepath.Join(stage, path.Base(f.Name)))
		}
		if target.Program == "" {
			return nopCloser{io.Discard}, nil
		}
		program, err = renameio.NewPendingFile(target.Program, renameio.WithPermissions(0o755))
		return nopCloser{program}, err
	})
	if err != nil {
		return nil, err
	}
	what := models.Staged{Program: program != nil, Made: m.Created, Older: m.Created.Equal(target.Older)}
	for _, model := range m.Models {
		what.Manifests = append(what.Manifests, model.Manifest)
	}
	for _, f := range m.Files {
		if name, ok := strings.CutPrefix(f.Name, modelPrefix+"signatures/"); ok {
			what.Signatures = append(what.Signatures, name)
		}
	}
	if err := store.InstallStaged(stage, what); err != nil {
		return nil, err
	}
	if program != nil {
		if err := program.CloseAtomicallyReplace(); err != nil {
			return nil, fmt.Errorf("bundle: the models are installed, the program is not: %w", err)
		}
		if err := durable.Names(filepath.Dir(target.Program)); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	return m, nil
}

// syncedFile is durable when Close returns.
type syncedFile struct{ *os.File }

// Close implements io.Closer.
func (f syncedFile) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

func staged(path string) (io.WriteCloser, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return syncedFile{file}, nil
}
