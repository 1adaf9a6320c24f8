package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
)

// maxAdapter bounds an adapter's weights: rank 64 on all linear layers of the 8B has 670 MB in float32.
const maxAdapter = 2 << 30

// AdapterImport says what adapter to take and which model it is for.
type AdapterImport struct {
	From     string // a PEFT folder
	Name     string // empty: from the folder's name
	Base     string // a language model in the registry
	Template string // empty: what manifest.json beside it says, else the base's
	Now      time.Time
}

// ImportAdapter takes a PEFT folder into the registry as it is, unmerged. Its tensors must fit the base, and its manifest.json, where there is
// one that names the digest of its base, must mean this one.
func (s *Store) ImportAdapter(what AdapterImport) (*Model, error) {
	if what.Name == "" {
		what.Name = nameFrom(what.From)
	}
	if err := s.checkName(what.Name, KindAdapter); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	base, err := s.languageModel(what.Base)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	for _, name := range []string{llama.AdapterConfigFile, llama.AdapterWeightsFile} {
		if data[name], err = readFound(filepath.Join(what.From, name), maxAdapter); err != nil {
			return nil, fmt.Errorf("models: adapter: %w", err)
		}
	}
	text, err := fs.ReadFile(base.files, llama.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w", what.Base, err)
	}
	config, err := llama.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	if _, err := llama.ReadAdapter(config, data[llama.AdapterConfigFile], data[llama.AdapterWeightsFile]); err != nil {
		return nil, fmt.Errorf("models: adapter for %s: %w", what.Base, err)
	}
	var manifest llama.AdapterManifest
	switch text, err := readFound(filepath.Join(what.From, llama.AdapterManifestFile), maxManifest); {
	case errors.Is(err, fs.ErrNotExist): // PEFT writes none
	case err != nil:
		return nil, fmt.Errorf("models: adapter: %w", err)
	default:
		if manifest, err = llama.ParseAdapterManifest(text); err != nil {
			return nil, err
		}
	}
	if manifest.Base != "" && manifest.Base != base.digest {
		return nil, fmt.Errorf("models: adapter: %s says that its base has digest %.16s, %s has %.16s", llama.AdapterManifestFile, manifest.Base,
			what.Base, base.digest)
	}
	for _, template := range []string{base.template, manifest.Template, what.Template} { // the last that says something
		if template != "" {
			manifest.Template = template
		}
	}
	if _, err := prompt.ByName(manifest.Template); err != nil {
		return nil, err
	}
	manifest.Base = base.digest
	if data[llama.AdapterManifestFile], err = json.Marshal(manifest); err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	m := &Model{
		Name: what.Name, Kind: KindAdapter, Source: Origin{From: what.From}, Template: manifest.Template, Imported: what.Now.UTC(),
		Base: &Base{what.Base, base.digest},
	}
	return m, s.installSmall(m, data)
}

// language is a model that an adapter is made for.
type language struct {
	files            fs.FS
	digest, template string
}

// languageModel finds an adapter's base: in the registry, or the starter's own.
func (s *Store) languageModel(name string) (*language, error) {
	if name == StarterName {
		bundle, err := Starter()
		if err != nil {
			return nil, err
		}
		files, err := fs.Sub(bundle.Files, LlamaFolder)
		if err != nil {
			return nil, fmt.Errorf("models: %w", err)
		}
		return &language{files: files, digest: bundle.Digest(LlamaFolder)}, nil
	}
	base, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	if base.Kind != KindLlama {
		return nil, fmt.Errorf("models: %s is no language model", name)
	}
	return &language{s.Open(base), base.Digest(), base.Template}, nil
}

// installSmall installs files that are in memory. The lock must be held.
func (s *Store) installSmall(m *Model, data map[string][]byte) error {
	folder, err := os.MkdirTemp(s.path(workFolder), "small-")
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	defer os.RemoveAll(folder)
	files := map[string]staged{}
	for name, content := range data {
		if files[name], err = stage(folder, name, content); err != nil {
			return err
		}
	}
	return s.install(m, files)
}
