package models

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/internal/durable"
)

// stagePattern names the folders in which models from elsewhere lie until they are whole.
const stagePattern = ".stage-*"

// Part is one file of a model as it lies in a store.
type Part struct {
	Name string // within a store, with slashes
	Path string
}

// Parts returns the files of a model, its signatures among them, its manifest last.
func (s *Store) Parts(name string) (*Model, []Part, error) {
	m, err := s.Get(name)
	if err != nil {
		return nil, nil, err
	}
	var out []Part
	add := func(folder, name string) { out = append(out, Part{folder + "/" + name, s.path(folder, name)}) }
	for _, file := range m.names() {
		add(blobFolder, m.Files[file].SHA256)
	}
	signatures, err := s.Signatures(m)
	if err != nil {
		return nil, nil, err
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(signatures)) {
		add(signatureFolder, m.Digest()+"."+fingerprint)
	}
	add(blobFolder, m.manifest)
	return m, out, nil
}

// Stage makes a folder in which files for InstallStaged are put under their SHA-256, and removes what earlier ones left.
func (s *Store) Stage() (string, error) {
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	left, err := fs.Glob(os.DirFS(s.root), stagePattern)
	if err != nil {
		return "", fmt.Errorf("models: %w", err)
	}
	for _, folder := range left {
		if err := os.RemoveAll(s.path(folder)); err != nil {
			return "", fmt.Errorf("models: %w", err)
		}
	}
	folder, err := os.MkdirTemp(s.root, stagePattern)
	if err != nil {
		return "", fmt.Errorf("models: %w", err)
	}
	return folder, nil
}

// Staged is what comes of a folder of Stage.
type Staged struct {
	Manifests  []string // SHA-256 of the models' manifests
	Signatures []string // names of files with signatures
	Program    bool     // one comes beside the models
	Made       time.Time
	Older      bool // it may take the place of what came later
}

// InstallStaged makes models of the files in a folder of Stage. All files take their place first, then the names, so that a model is there whole or
// not at all. Nothing is changed when a name was brought by something that was made later (OlderError), unless that is asked for.
func (s *Store) InstallStaged(folder string, what Staged) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	var list []*Model
	for _, sum := range what.Manifests {
		m, err := s.stagedModel(folder, sum)
		if err != nil {
			return err
		}
		if err := s.checkName(m.Name, m.Kind); err != nil {
			return err
		}
		list = append(list, m)
	}
	if err := s.date(list, what); err != nil {
		return err
	}
	for _, m := range list {
		for _, sum := range append(m.sums(), m.manifest) {
			from := filepath.Join(folder, sum)
			if err := os.Chmod(from, 0o400); errors.Is(err, fs.ErrNotExist) {
				continue // of an earlier model of the list
			} else if err != nil {
				return fmt.Errorf("models: %w", err)
			}
			if err := os.Rename(from, s.path(blobFolder, sum)); err != nil {
				return fmt.Errorf("models: %w", err)
			}
		}
	}
	if err := os.MkdirAll(s.path(signatureFolder), 0o700); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	for _, name := range what.Signatures {
		if _, err := readSmall(filepath.Join(folder, name), ed25519.SignatureSize); err != nil {
			return fmt.Errorf("models: signature %s: %w", name, err)
		}
		if err := os.Rename(filepath.Join(folder, name), s.path(signatureFolder, name)); err != nil {
			return fmt.Errorf("models: %w", err)
		}
	}
	for _, folder := range []string{blobFolder, signatureFolder} {
		if err := durable.Names(s.path(folder)); err != nil {
			return err
		}
	}
	for _, m := range list {
		if err := s.point(refFolder, m.Name, m); err != nil {
			return err
		}
	}
	return s.sweep()
}

// sums are the digests of a model's files.
func (m *Model) sums() (out []string) {
	for _, name := range m.names() {
		out = append(out, m.Files[name].SHA256)
	}
	return out
}

// stagedModel reads a manifest in a stage; all files that it names must lie there, their digests were held against them.
func (s *Store) stagedModel(folder, sum string) (*Model, error) {
	data, err := readSmall(filepath.Join(folder, sum), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("models: manifest %s: %w", sum, err)
	}
	m, err := parseManifest(data, sum)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	if m.Kind == KindAdapter && m.Base == nil {
		return nil, fmt.Errorf("models: manifest %s: %w: %q is no model of this program", sum, ErrDamaged, m.Name)
	}
	for name, file := range m.Files {
		info, err := os.Lstat(filepath.Join(folder, filepath.Base(file.SHA256)))
		if err != nil || filepath.Base(file.SHA256) != file.SHA256 || info.Size() != file.Size {
			return nil, fmt.Errorf("models: %s: %w: its file %s is not there", m.Name, ErrDamaged, name)
		}
	}
	return m, nil
}
