package bundle

import (
	"archive/tar"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"llamaxr/inference/models"
	"llamaxr/inference/signing"
)

// Content is what a bundle is made of.
type Content struct {
	Models  []string // names in the registry
	Program string   // a file, empty for none
	By      string
	Now     time.Time
}

// Create writes a bundle.
func Create(w io.Writer, store *models.Store, what Content, key ed25519.PrivateKey) (*Manifest, error) {
	m := &Manifest{Format: format, Created: what.Now.UTC().Truncate(time.Second), By: what.By, Models: []ModelLine{}}
	from := map[string]string{} // the path of each file
	add := func(name, path string) error {
		if _, there := from[name]; there {
			return nil // models may share files
		}
		size, sum, err := digest(path)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		if hash, ok := strings.CutPrefix(name, modelPrefix+"blobs/"); ok && hash != sum {
			return fmt.Errorf("bundle: %s has SHA-256 %s: %w", name, sum, models.ErrDamaged)
		}
		from[name] = path
		m.Files = append(m.Files, File{name, size, sum})
		return nil
	}
	for _, name := range what.Models {
		model, parts, err := store.Parts(name)
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			if err := add(modelPrefix+part.Name, part.Path); err != nil {
				return nil, err
			}
		}
		m.Models = append(m.Models, ModelLine{model.Name, model.Kind, model.Digest(), path.Base(parts[len(parts)-1].Name)})
	}
	if what.Program != "" {
		if err := add(programFile, what.Program); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if _, err := parse(text); err != nil {
		return nil, err
	}
	out := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		data []byte
	}{{manifestFile, text}, {signatureFile, signing.Sign(key, signing.Bundle, text)}} {
		if err := write(out, m, File{Name: f.name, Size: int64(len(f.data))}, strings.NewReader(string(f.data))); err != nil {
			return nil, err
		}
	}
	for _, f := range m.Files {
		file, err := os.Open(from[f.Name])
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		err = write(out, m, f, file)
		_ = file.Close() // it was only read
		if err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return m, nil
}

func write(out *tar.Writer, m *Manifest, f File, from io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: f.Size, Mode: 0o644, ModTime: m.Created, Format: tar.FormatPAX}
	if err := out.WriteHeader(header); err != nil {
		return fmt.Errorf("bundle: %s: %w", f.Name, err)
	}
	if _, err := io.Copy(out, from); err != nil {
		return fmt.Errorf("bundle: %s: %w", f.Name, err)
	}
	return nil
}

func digest(path string) (size int64, sum string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	h := sha256.New()
	size, err = io.Copy(h, file)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
