package models

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
)

// StarterName chooses the embedded starter models again.
const StarterName = "starter"

// fileOf is a role's file.
func fileOf(role Role) string {
	return map[Role]string{RoleClassifier: "classifier", RoleLanguageModel: "language-model", RoleAdapter: "adapter"}[role]
}

// InUse returns the model chosen for a role, nil when that is the starter's.
func (s *Store) InUse(role Role) (*Model, error) {
	m, err := s.follow(s.path(useFolder, fileOf(role)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("models: the %s in use: %w", role, err)
	}
	if m.Kind.Role() != role {
		return nil, fmt.Errorf("models: the %s in use: %w: %s is of kind %s", role, ErrDamaged, m.Name, m.Kind)
	}
	return m, nil
}

// Use chooses a model for its role. Another language model puts an adapter that was made for the one before out of use and
// reports its name; an adapter must have been made for the language model in use.
func (s *Store) Use(name string) (dropped string, err error) {
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	m, err := s.Get(name)
	if err != nil {
		return "", err
	}
	return s.use(m)
}

// use is Use; the lock must be held.
func (s *Store) use(m *Model) (dropped string, err error) {
	switch m.Kind {
	case KindLlama:
		if dropped, err = s.dropAdapter(m.Digest()); err != nil {
			return "", err
		}
	case KindAdapter:
		used, digest, err := s.languageInUse()
		if err != nil {
			return "", err
		}
		if digest != m.Base.Digest {
			return "", fmt.Errorf("models: adapter %s is made for %s (%.16s), but %s (%.16s) is in use", m.Name, m.Base.Name, m.Base.Digest, used, digest)
		}
	}
	if err := s.authentic(m); err != nil {
		return "", err
	}
	if m.Kind == KindAdapter {
		if err := s.remember(m); err != nil {
			return "", err
		}
	}
	return dropped, s.point(useFolder, fileOf(m.Kind.Role()), m)
}

// UseAdapter chooses an adapter, or by the starter's name none but the starter's own.
func (s *Store) UseAdapter(name string) error {
	if name == StarterName {
		_, err := s.UseStarter(RoleAdapter)
		return err
	}
	m, err := s.Get(name)
	if err != nil {
		return err
	}
	if m.Kind != KindAdapter {
		return fmt.Errorf("models: %s is no adapter but a %s; `llamaxr models use` chooses it", name, m.Kind.Role())
	}
	_, err = s.Use(name)
	return err
}

// beforeFile says which adapter was in use before the present one: as the file of the one in use does, or by the starter's name. A model may have another's
// name by then.
const beforeFile = "adapter-before"

// remember keeps which adapter is in use, unless it is the next (nil is the starter's), or is damaged. The lock must be held.
func (s *Store) remember(next *Model) error {
	m, err := s.InUse(RoleAdapter)
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	switch {
	case err != nil:
		return err
	case m == nil && next == nil, m != nil && next != nil && m.manifest == next.manifest:
		return nil
	case m != nil:
		return s.point(useFolder, beforeFile, m)
	}
	if err := renameio.WriteFile(s.path(useFolder, beforeFile), []byte(StarterName+"\n"), 0o600); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}

// before is the adapter that was in use before the present one; nil, with its name, where that is the starter's, or is known by its name alone as earlier
// versions kept it.
func (s *Store) before() (m *Model, name string, err error) {
	text, err := readSmall(s.path(useFolder, beforeFile), 256)
	if err != nil {
		return nil, "", err
	}
	if name = strings.TrimSpace(string(text)); len(name) < 2*sha256.Size {
		return nil, name, nil
	}
	if m, err = s.follow(s.path(useFolder, beforeFile)); err != nil {
		return nil, "", err
	}
	return m, m.Name, nil
}

// UsePreviousAdapter goes back to the adapter that was in use before the present one, and returns its name.
func (s *Store) UsePreviousAdapter() (name string, err error) {
	m, name, err := s.before()
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("models: no other adapter was in use before")
	}
	if err != nil {
		return "", fmt.Errorf("models: the adapter before: %w", err)
	}
	if m == nil {
		return name, s.UseAdapter(name)
	}
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	_, err = s.use(m)
	return name, err
}

// UseStarter goes back to the starter's model in a role; without its language model no adapter of another stays.
func (s *Store) UseStarter(role Role) (dropped string, err error) {
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if role == RoleLanguageModel {
		starter, err := s.languageModel(StarterName)
		if err != nil {
			return "", err
		}
		if dropped, err = s.dropAdapter(starter.digest); err != nil {
			return "", err
		}
	}
	if role == RoleAdapter {
		if err := s.remember(nil); err != nil {
			return "", err
		}
	}
	return dropped, s.forget(role)
}

// languageInUse names the language model in use and its digest.
func (s *Store) languageInUse() (name, digest string, err error) {
	m, err := s.InUse(RoleLanguageModel)
	if err != nil {
		return "", "", err
	}
	if m != nil {
		return m.Name, m.Digest(), nil
	}
	starter, err := s.languageModel(StarterName)
	if err != nil {
		return "", "", err
	}
	return StarterName, starter.digest, nil
}

// LanguageModelName names the language model in use as ImportAdapter takes it.
func (s *Store) LanguageModelName() string {
	name, _, err := s.languageInUse()
	if err != nil {
		return StarterName
	}
	return name
}

func (s *Store) dropAdapter(base string) (dropped string, err error) {
	adapter, err := s.InUse(RoleAdapter)
	if errors.Is(err, ErrDamaged) {
		return "that was in use and is damaged", s.forget(RoleAdapter)
	}
	if err != nil || adapter == nil || adapter.Base.Digest == base {
		return "", err
	}
	return adapter.Name, s.forget(RoleAdapter)
}

func (s *Store) forget(role Role) error {
	if err := os.Remove(s.path(useFolder, fileOf(role))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("models: %w", err)
	}
	return durable.Names(s.path(useFolder))
}
