package bundle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"llamaxr/inference/models"
)

// Limits of what is read.
const (
	maxManifest = 4 << 20 // bytes
	maxFiles    = 10_000
	maxFileSize = 1 << 40 // bytes; a model's largest file has some 10 GB
)

// Names within the tar file.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.sig"
	programFile   = "program/llamaxr"
	modelPrefix   = "models/"
)

const format = 1

// names are all that a file may have: none leads anywhere but where we put it.
var names = regexp.MustCompile(`^(models/blobs/[0-9a-f]{64}|models/signatures/[0-9a-f]{64}\.[0-9a-f]{16}|program/llamaxr)$`)

// Manifest lists what a bundle holds.
type Manifest struct {
	Format  int         `json:"format"`
	Created time.Time   `json:"created"`
	By      string      `json:"by"` // the program that made it
	Models  []ModelLine `json:"models"`
	Files   []File      `json:"files"` // in their order
}

// ModelLine is one model or adapter.
type ModelLine struct {
	Name     string      `json:"name"`
	Kind     models.Kind `json:"kind"`
	Digest   string      `json:"digest"`   // of its content
	Manifest string      `json:"manifest"` // SHA-256 of its manifest, which is one of the files
}

// File is one file.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Program reports whether the bundle holds one.
func (m *Manifest) Program() bool {
	for _, f := range m.Files {
		if f.Name == programFile {
			return true
		}
	}
	return false
}

// parse reads a manifest that was signed; its signer may still have made mistakes.
func parse(text []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", manifestFile, err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("bundle: %s is of format %d, this program reads %d", manifestFile, m.Format, format)
	}
	if len(m.Files) > maxFiles {
		return nil, fmt.Errorf("bundle: %s lists %d files, more than %d", manifestFile, len(m.Files), maxFiles)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if !names.MatchString(f.Name) || seen[f.Name] || f.Size < 0 || f.Size > maxFileSize {
			return nil, fmt.Errorf("bundle: %s lists %q of %d bytes, which no bundle has", manifestFile, f.Name, f.Size)
		}
		seen[f.Name] = true
	}
	for _, model := range m.Models {
		if !seen[modelPrefix+"blobs/"+model.Manifest] {
			return nil, fmt.Errorf("bundle: %s lists model %s without its manifest", manifestFile, model.Name)
		}
	}
	return m, nil
}
