package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
			return "", fmt.Errorf("models: adapter %s is made for %s (%.16s), but %s (%.16s) is in use", name, m.Base.Name, m.Base.Digest, used, digest)
		}
	}
	return dropped, s.point(useFolder, fileOf(m.Kind.Role()), m)
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

func (s *Store) dropAdapter(base string) (dropped string, err error) {
	adapter, err := s.InUse(RoleAdapter)
	if err != nil || adapter == nil || adapter.Base.Digest == base {
		return "", err
	}
	return adapter.Name, s.forget(RoleAdapter)
}

func (s *Store) forget(role Role) error {
	if err := os.Remove(s.path(useFolder, fileOf(role))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("models: %w", err)
	}
	return syncFolder(s.path(useFolder))
}
