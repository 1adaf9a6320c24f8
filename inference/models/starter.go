package models

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"llamaxr/study"
)

//go:embed all:starter
var embedded embed.FS

// Paths inside a bundle.
const (
	ManifestFile    = "manifest.json"
	DenseNetWeights = "densenet121.safetensors"
	DenseNetCard    = "densenet121.json"
	LlamaFolder     = "llama"
	AdapterFolder   = "adapter"
)

// Manifest says what a bundle holds: the version, and the SHA-256 of every file by its path.
type Manifest struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Licence string            `json:"licence"`
	Source  string            `json:"source"`
	Files   map[string]string `json:"files"`
}

// Bundle is a verified set of models.
type Bundle struct {
	Manifest Manifest
	Files    fs.FS
	// Starter marks models that are not for clinical use.
	Starter bool
}

// Starter returns the embedded starter bundle, verified once: it is part of the program.
var Starter = sync.OnceValues(func() (*Bundle, error) {
	files, err := fs.Sub(embedded, "starter")
	if err != nil {
		return nil, fmt.Errorf("models: starter bundle: %w", err)
	}
	return open(files, true)
})

func open(files fs.FS, starter bool) (*Bundle, error) {
	text, err := fs.ReadFile(files, ManifestFile)
	if err != nil {
		return nil, fmt.Errorf("models: manifest: %w", err)
	}
	bundle := &Bundle{Files: files, Starter: starter}
	if err := json.Unmarshal(text, &bundle.Manifest); err != nil {
		return nil, fmt.Errorf("models: manifest: %w", err)
	}
	for name, want := range bundle.Manifest.Files {
		got, err := digest(files, name)
		if err != nil {
			return nil, fmt.Errorf("models: %w", err)
		}
		if got != want {
			return nil, fmt.Errorf("models: %s has SHA-256 %s, the manifest says %s", name, got, want)
		}
	}
	return bundle, nil
}

// Digest returns one SHA-256, in hex, for the files at or below name as the manifest lists them.
func (b *Bundle) Digest(name string) string {
	if sum, ok := b.Manifest.Files[name]; ok {
		return sum
	}
	var names []string
	for file := range b.Manifest.Files {
		if path.Dir(file) == name {
			names = append(names, file)
		}
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, file := range names {
		fmt.Fprintf(sum, "%s %s\n", b.Manifest.Files[file], path.Base(file))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Card describes one model of the bundle by role, name and the file or folder that holds it.
func (b *Bundle) Card(role, name, file string) study.ModelCard {
	return study.ModelCard{
		Role: role, Name: name, Version: b.Manifest.Version, Digest: b.Digest(file), Starter: b.Starter,
	}
}

// WriteManifest returns the manifest of the files below root, as `make starter` stores it beside them.
func WriteManifest(files fs.FS, manifest Manifest) ([]byte, error) {
	manifest.Files = map[string]string{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == ManifestFile {
			return err
		}
		manifest.Files[name], err = digest(files, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("models: making the manifest: %w", err)
	}
	text, err := json.MarshalIndent(manifest, "", "  ")
	return append(text, '\n'), err
}

func digest(files fs.FS, name string) (string, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
