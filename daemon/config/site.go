package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"llamaxr/internal/durable"
)

// Site is the few things that every site sets.
type Site struct {
	State        string
	AETitle      string
	Listen       string
	Destinations []Destination // AE title and address alone
}

// Over is the defaults with what the site sets.
func (s Site) Over() Config {
	cfg := Default()
	cfg.State, cfg.AETitle, cfg.Listen, cfg.Destinations = s.State, s.AETitle, s.Listen, s.Destinations
	return cfg
}

// text is a configuration file of the site; what Parse reads of it is Over.
func (s Site) text() string {
	out := fmt.Sprintf("# llamaxr configuration. `llamaxr config explain` prints every key with its meaning and default.\nstate: %q\nae_title: %q\nlisten: %q\ndestinations:",
		s.State, s.AETitle, s.Listen)
	if len(s.Destinations) == 0 {
		return out + " []\n"
	}
	for _, d := range s.Destinations {
		out += fmt.Sprintf("\n  - {ae_title: %q, address: %q}", d.AETitle, d.Address)
	}
	return out + "\n"
}

// Write writes the site's configuration file with mode 0600, and its folder when that is missing. The file is there whole or not at all. One
// that is there already stays, with an error that is fs.ErrExist, unless force is true. group, when not negative, is a group that may read it.
func (s Site) Write(path string, force bool, group int) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	file, err := os.CreateTemp(folder, ".llamaxr-*.yaml") // mode 0600
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(s.text())
	if err == nil && group >= 0 {
		err = errors.Join(file.Chown(-1, group), file.Chmod(0o640))
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if force {
		err = os.Rename(file.Name(), path)
	} else {
		err = os.Link(file.Name(), path) // unlike a rename, it takes no file's place
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("configuration: %s: %w", path, fs.ErrExist)
	}
	if err == nil {
		err = durable.Names(folder)
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}
