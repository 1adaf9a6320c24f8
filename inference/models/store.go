package models

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"llamaxr/internal/durable"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// Folders of a store.
const (
	blobFolder = "blobs" // files by the SHA-256 of their bytes, never changed
	refFolder  = "refs"  // a name each, holding the SHA-256 of a manifest
	useFolder  = "use"   // a role each, holding the SHA-256 of a manifest
	workFolder = "work"  // imports under way
	headFolder = "heads" // what language models keep of the constant heads of prompts: made anew where it is missing
	lockFile   = "lock"
)

// maxManifest bounds a manifest: a licence's text and a few dozen files.
const maxManifest = 4 << 20

// Errors that a caller tells apart.
var (
	ErrUnknown = errors.New("no such model")
	ErrBusy    = errors.New("another import or removal is under way")
	ErrDamaged = errors.New("the registry is damaged")
)

// validName keeps names to what is safe as a file's name everywhere.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Store is the registry: one folder, usually "models" in the state folder. Files are kept by their digest; a model is a manifest that
// lists them, itself a file kept by its digest; a name points at a manifest. Only writing the name, the last act of an import,
// makes a model be there, so that one that was killed leaves nothing to be seen, and any changed bit changes a digest.
type Store struct {
	root    string
	trusted []ed25519.PublicKey // one of them must have signed an adapter; empty asks for none
}

// OpenStore returns the store in a folder, which is made when something is imported.
func OpenStore(root string) *Store { return &Store{root: root} }

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.root}, parts...)...)
}

// HeadFolder is where a language model keeps the heads of its prompts.
func (s *Store) HeadFolder() string { return s.path(headFolder) }

// List returns all models, by name. Where some are damaged it returns the others, and an error that names those.
func (s *Store) List() ([]*Model, error) {
	entries, err := os.ReadDir(s.path(refFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("models: %w", err)
	}
	var out []*Model
	var faults []error
	for _, entry := range entries {
		if !validName.MatchString(entry.Name()) {
			continue // what was being written when the program was killed
		}
		m, err := s.Get(entry.Name())
		if err != nil {
			faults = append(faults, err)
			continue
		}
		out = append(out, m)
	}
	return out, errors.Join(faults...)
}

// Get returns a model by name.
func (s *Store) Get(name string) (*Model, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("models: %q: %w (names are of a-z, 0-9, dot, dash and underscore)", name, ErrUnknown)
	}
	m, err := s.follow(s.path(refFolder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("models: %q: %w; `llamaxr models list` shows what is there", name, ErrUnknown)
	}
	if err != nil {
		return nil, fmt.Errorf("models: %q: %w", name, err)
	}
	if m.Name != name {
		return nil, fmt.Errorf("models: %q: %w: its manifest is that of %q", name, ErrDamaged, m.Name)
	}
	return m, nil
}

// follow reads the manifest that a file points at. Its error is fs.ErrNotExist only where the file itself is missing.
func (s *Store) follow(pointer string) (*Model, error) {
	text, err := readSmall(pointer, 2*sha256.Size+1)
	if err != nil {
		return nil, err
	}
	sum := strings.TrimSuffix(string(text), "\n")
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size || strings.ToLower(sum) != sum {
		return nil, fmt.Errorf("%w: %s holds no SHA-256", ErrDamaged, filepath.Base(pointer))
	}
	data, err := readSmall(s.path(blobFolder, sum), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %v", ErrDamaged, sum, err)
	}
	return parseManifest(data, sum)
}

// parseManifest reads a manifest, whose name is its digest.
func parseManifest(data []byte, sum string) (*Model, error) {
	if got := sumOf(data); got != sum {
		return nil, fmt.Errorf("%w: manifest %s has SHA-256 %s", ErrDamaged, sum, got)
	}
	m := new(Model)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %v", ErrDamaged, sum, err)
	}
	m.manifest = sum
	return m, nil
}

// readFound reads a file that lies in a folder from elsewhere. A pipe is none: opening it waits for somebody who writes to it.
func readFound(path string, most int64) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	return readSmall(path, most)
}

func readSmall(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return data, err
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Path returns where one of a model's files lies, to be mapped or read, never written.
func (s *Store) Path(m *Model, name string) string { return s.path(blobFolder, m.Files[name].SHA256) }

// Open returns a model's files under their own names.
func (s *Store) Open(m *Model) fs.FS { return modelFiles{s, m} }

type modelFiles struct {
	store *Store
	model *Model
}

// Open implements fs.FS.
func (f modelFiles) Open(name string) (fs.File, error) {
	if _, ok := f.model.Files[name]; !ok {
		return nil, &fs.PathError{Op: "open", Path: f.model.Name + "/" + name, Err: fs.ErrNotExist}
	}
	return os.Open(f.store.Path(f.model, name))
}

// Hold is Open of what can be read for as long as somebody has it, also when the model is removed.
func (s *Store) Hold(m *Model) (fs.FS, error) {
	held := heldFiles{}
	for name := range m.Files {
		file, err := os.Open(s.Path(m, name))
		if err != nil {
			return nil, fmt.Errorf("models: %s: %w", m.Name, err)
		}
		held[name] = file // closed when nobody has it any more
	}
	return held, nil
}

type heldFiles map[string]*os.File

// Open implements fs.FS.
func (f heldFiles) Open(name string) (fs.File, error) {
	file, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return heldFile{io.NewSectionReader(file, 0, info.Size()), info}, nil
}

// heldFile is one reading of a held file.
type heldFile struct {
	*io.SectionReader
	info fs.FileInfo
}

// Stat implements fs.File.
func (f heldFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (heldFile) Close() error { return nil }

// Verify reads all of a model's files again and reports each that is not what the manifest says, and an adapter that nobody trusted has signed.
func (s *Store) Verify(ctx context.Context, m *Model, progress func(Progress)) error {
	var faults []error
	meter := newMeter(progress, m.Size())
	for _, name := range m.names() {
		want := m.Files[name]
		got, size, err := hashFile(ctx, s.Path(m, name), meter.of(name))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			faults = append(faults, fmt.Errorf("models: %s: %s: %w: %v", m.Name, name, ErrDamaged, err))
		case got != want.SHA256 || size != want.Size:
			faults = append(faults, fmt.Errorf("models: %s: %s: %w: SHA-256 %s of %d bytes, the manifest says %s of %d", m.Name, name, ErrDamaged,
				got, size, want.SHA256, want.Size))
		}
	}
	return errors.Join(append(faults, s.authentic(m))...)
}

func hashFile(ctx context.Context, path string, read func(int)) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := file.Read(buffer)
		h.Write(buffer[:n])
		size += int64(n)
		read(n)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), size, nil
		}
		if err != nil {
			return "", size, err
		}
	}
}

// Remove takes a model away, unless it is in use or an adapter belongs to it. A damaged one can be removed too.
func (s *Store) Remove(name string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m, err := s.Get(name)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	pointer, err := readSmall(s.path(refFolder, name), maxManifest)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	for _, role := range Roles {
		if used, err := readSmall(s.path(useFolder, fileOf(role)), maxManifest); err == nil && bytes.Equal(used, pointer) {
			return fmt.Errorf("models: %s is in use as %s; choose another one first", name, role)
		}
	}
	all, err := s.List()
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	for _, other := range all {
		if m != nil && other.Base != nil && other.Base.Digest == m.Digest() && !slices.ContainsFunc(all, func(x *Model) bool {
			return x.Name != name && x.Digest() == m.Digest()
		}) {
			return fmt.Errorf("models: adapter %s is made for %s; remove it first", other.Name, name)
		}
	}
	if last, err := readSmall(s.path(useFolder, beforeFile), maxManifest); err == nil && bytes.Equal(last, pointer) {
		if err := os.Remove(s.path(useFolder, beforeFile)); err != nil {
			return fmt.Errorf("models: %w", err)
		}
	}
	if err := os.Remove(s.path(refFolder, name)); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	if err := durable.Names(s.path(refFolder)); err != nil {
		return err
	}
	return s.sweep()
}

// sweep removes files that no model has: none while one is damaged, whose files cannot be told. The lock must be held.
func (s *Store) sweep() error {
	all, err := s.List()
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, role := range Roles {
		used, err := s.InUse(role)
		if errors.Is(err, ErrDamaged) {
			return nil
		}
		if err != nil {
			return err
		}
		if used != nil { // its name may be another model's by now
			all = append(all, used)
		}
	}
	switch last, _, err := s.before(); {
	case errors.Is(err, ErrDamaged):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("models: %w", err)
	case last != nil:
		all = append(all, last)
	}
	wanted := map[string]bool{}
	for _, m := range all {
		wanted[m.manifest] = true
		for _, f := range m.Files {
			wanted[f.SHA256] = true
		}
	}
	entries, err := os.ReadDir(s.path(blobFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("models: %w", err)
	}
	for _, entry := range entries {
		if !wanted[entry.Name()] {
			if err := os.Remove(s.path(blobFolder, entry.Name())); err != nil {
				return fmt.Errorf("models: %w", err)
			}
		}
	}
	return nil
}

// lock makes the folders and keeps others from changing the store.
func (s *Store) lock() (unlock func(), err error) {
	for _, folder := range []string{blobFolder, refFolder, useFolder, workFolder} {
		if err := os.MkdirAll(s.path(folder), 0o700); err != nil {
			return nil, fmt.Errorf("models: %w", err)
		}
	}
	return hold(s.path(lockFile))
}

// hold keeps other processes and callers from what a file stands for.
func hold(path string) (unlock func(), err error) {
	lock := flock.New(path)
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("models: lock: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("models: %w", ErrBusy)
	}
	return func() { _ = lock.Unlock() }, nil // the process's end releases it as well
}

// staged is a finished, synced file that is to become part of a model.
type staged struct {
	path string
	File
}

// install makes a model of staged files: they move to their digests, then the manifest, then the name. The lock must be held.
func (s *Store) install(m *Model, files map[string]staged) error {
	m.Files = map[string]File{}
	for name, f := range files {
		if err := os.Chmod(f.path, 0o400); err != nil {
			return fmt.Errorf("models: %s: %w", name, err)
		}
		if err := os.Rename(f.path, s.path(blobFolder, f.SHA256)); err != nil {
			return fmt.Errorf("models: %s: %w", name, err)
		}
		m.Files[name] = f.File
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("models: manifest: %w", err)
	}
	m.manifest = sumOf(text)
	if err := renameio.WriteFile(s.path(blobFolder, m.manifest), text, 0o400); err != nil {
		return fmt.Errorf("models: manifest: %w", err)
	}
	if err := durable.Names(s.path(blobFolder)); err != nil {
		return err
	}
	if err := s.point(refFolder, m.Name, m); err != nil {
		return err
	}
	return s.sweep() // what a model of this name had before, and what killed imports left
}

func (s *Store) point(folder, name string, m *Model) error {
	if err := renameio.WriteFile(s.path(folder, name), []byte(m.manifest+"\n"), 0o600); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return durable.Names(s.path(folder))
}
