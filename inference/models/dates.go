package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
)

// datesFile says of each name that came from elsewhere when that was made.
const datesFile = "came.json"

// programName is the program's among those of models, of which none has a space.
const programName = "the program"

// OlderError is returned for what was made before that which is installed: it may have faults that the newer one has not.
type OlderError struct {
	Name            string
	Made, Installed time.Time
}

// Error implements error.
func (e *OlderError) Error() string {
	return fmt.Sprintf("models: %s was made at %s and what is installed at %s", e.Name, e.Made.Format(time.RFC3339), e.Installed.Format(time.RFC3339))
}

// date refuses what is older than what is installed by the same name, and keeps when it was made. That is kept before anything takes its place: an
// installation that is cut short may be made again. The lock must be held.
func (s *Store) date(list []*Model, what Staged) error {
	came, err := s.dates()
	if err != nil {
		return err
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	if what.Program {
		names = append(names, programName)
	}
	next := maps.Clone(came)
	for _, name := range names {
		if what.Made.Before(came[name]) && !what.Older {
			return &OlderError{name, what.Made, came[name]}
		}
		next[name] = what.Made
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	if err := renameio.WriteFile(s.path(datesFile), text, 0o600); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return durable.Names(s.root)
}

func (s *Store) dates() (map[string]time.Time, error) {
	came := map[string]time.Time{}
	text, err := readSmall(s.path(datesFile), maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return came, nil
	case err == nil:
		err = json.Unmarshal(text, &came)
	}
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w: %w", datesFile, ErrDamaged, err)
	}
	return came, nil
}
