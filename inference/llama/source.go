package llama

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/inference/gguf"
	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// Names of a Hugging Face folder's files.
const (
	ConfigFile     = "config.json"
	GenerationFile = "generation_config.json"
	TokenizerFile  = "tokenizer.json"
	WeightsFile    = "model.safetensors"
	indexFile      = WeightsFile + ".index.json"
)

// maxText bounds config.json, tokenizer.json and the like: Llama 3's tokenizer.json has 17 MB.
const maxText = 64 << 20

// Source is a model where it was found: checked, its weights read when they are asked for.
type Source struct {
	Config    *Config
	Tokenizer []byte // tokenizer.json
	Licence   string // as the files name it, may be empty
	Files     []string
	weights   map[string]weight
	opened    []io.Closer
}

// weight is one parameter. Rows are along its first axis; a norm is one row.
type weight struct {
	shape  []int
	stored safetensors.DType // what holds its values without loss
	rows   func(from, n int, out []float32) error
	// parts are the tensors that make up a weight which is NF4 already, by name.
	parts map[string]safetensors.Spec
	// packed reads a weight that is NF4 already; nil where it is not.
	packed func() (*quant.Tensor, error)
	raw    func(name string, from, n int64) ([]byte, error) // bytes of a part, or of a plain weight under its own name; nil where there are none
}

func (w weight) size() (rows, length int) {
	if len(w.shape) == 1 {
		return 1, w.shape[0]
	}
	return w.shape[0], w.shape[1]
}

// dense is a weight as the file holds it, or in float32 where its values are made from others.
func (s *Source) dense(name string) (safetensors.Tensor, error) {
	w := s.weights[name]
	rows, length := w.size()
	if w.raw != nil && w.parts == nil {
		data, err := w.raw(name, 0, int64(rows)*int64(length)*int64(w.stored.Width()))
		return safetensors.Tensor{DType: w.stored, Shape: w.shape, Data: data}, err
	}
	values := make([]float32, rows*length)
	err := w.rows(0, rows, values)
	return safetensors.FromFloats(safetensors.F32, w.shape, values), err
}

// SourceIn is the model in a folder as an import leaves it, its file mapped where that can be.
func SourceIn(files fs.FS) (*Source, error) {
	s, file, err := sourceIn(files)
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, file)
	return s, nil
}

// sourceIn leaves the file, in which the values lie, to its caller.
func sourceIn(files fs.FS) (*Source, *mapping, error) {
	text, err := fs.ReadFile(files, ConfigFile)
	if err != nil {
		return nil, nil, fmt.Errorf("llama: %w", err)
	}
	config, err := ParseConfig(text)
	if err != nil {
		return nil, nil, err
	}
	file, err := mapFile(files, WeightsFile)
	if err != nil {
		return nil, nil, err
	}
	s, err := sourceOf(config, file.data)
	if err != nil {
		file.release()
		return nil, nil, err
	}
	return s, file, nil
}

// Forget gives up the memory of a mapped file; what is needed again is read again.
func (s *Source) Forget() {
	for _, o := range s.opened {
		if file, ok := o.(*mapping); ok {
			file.forget()
		}
	}
}

// OpenSource opens a Hugging Face folder, a GGUF file, or a folder that holds one GGUF file.
func OpenSource(path string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if !info.IsDir() {
		return openGGUF(path)
	}
	if _, err := os.Stat(filepath.Join(path, ConfigFile)); err == nil {
		return openFolder(path)
	}
	found, err := fs.Glob(os.DirFS(path), "*.gguf")
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("llama: %s holds neither %s nor one GGUF file, but %d", path, ConfigFile, len(found))
	}
	return openGGUF(filepath.Join(path, found[0]))
}

// Close closes what is open.
func (s *Source) Close() error {
	var faults []error
	for _, c := range s.opened {
		faults = append(faults, c.Close())
	}
	return errors.Join(faults...)
}

// check reports what the config asks for and is not there in that shape, and a tokenizer that does not fit.
func (s *Source) check() error {
	shapes := s.Config.shapes()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		shape := shapes[name]
		w, ok := s.weights[name]
		if !ok {
			return fmt.Errorf("llama: tensor %s is missing", name)
		}
		if !slices.Equal(w.shape, shape) {
			return fmt.Errorf("llama: tensor %s has shape %v, %s says %v", name, w.shape, ConfigFile, shape)
		}
	}
	if s.Tokenizer == nil { // weights alone
		return nil
	}
	tokenizer, err := ParseTokenizer(s.Tokenizer)
	if err != nil {
		return err
	}
	return tokenizer.Fit(s.Config)
}

// Fit holds a tokenizer to the model it is for, and takes from the model which tokens begin and end a text.
func (t *Tokenizer) Fit(c *Config) error {
	if t.Size() > c.VocabSize {
		return fmt.Errorf("llama: %s has %d tokens, the model %d: they do not belong together", TokenizerFile, t.Size(), c.VocabSize)
	}
	if len(c.BOS) > 0 && !t.AddBOS {
		t.BOS = c.BOS[0]
	}
	if len(c.EOS) > 0 {
		t.EOS = c.EOS[0]
	}
	for _, id := range append(slices.Clone(c.BOS), c.EOS...) {
		if id >= t.Size() {
			return fmt.Errorf("llama: token %d begins or ends a text, and %s has %d tokens: they do not belong together", id, TokenizerFile, t.Size())
		}
	}
	if t.EOS < 0 {
		return fmt.Errorf("llama: neither %s (eos_token_id) nor %s (%s) says which token ends a text", ConfigFile, TokenizerFile, TokenEOS)
	}
	return nil
}

// Weights reads every parameter as float32.
func (s *Source) Weights() (Weights, error) {
	out := Weights{}
	for name := range s.Config.shapes() {
		w := s.weights[name]
		rows, length := w.size()
		values := make([]float32, rows*length)
		if err := w.rows(0, rows, values); err != nil {
			return nil, fmt.Errorf("llama: tensor %s: %w", name, err)
		}
		if i := slices.IndexFunc(values, notFinite); i >= 0 {
			return nil, fmt.Errorf("llama: tensor %s has %g at %d", name, values[i], i)
		}
		out[name] = values
	}
	return out, nil
}

func notFinite(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }

// openFolder opens config.json, tokenizer.json and safetensors, in one file or in shards with an index.
func openFolder(path string) (s *Source, err error) {
	s = &Source{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, s.Close()))
			s = nil
		}
	}()
	text := func(name string) ([]byte, error) {
		s.Files = append(s.Files, name)
		return readText(filepath.Join(path, name))
	}
	data, err := text(ConfigFile)
	if err != nil {
		return s, err
	}
	if s.Config, err = ParseConfig(data); err != nil {
		return s, err
	}
	if s.Tokenizer, err = text(TokenizerFile); err != nil {
		return s, err
	}
	if data, err := text(GenerationFile); err == nil {
		if err := s.Config.addGeneration(data); err != nil {
			return s, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	shards, err := s.shards(path)
	if err != nil {
		return s, err
	}
	if s.weights, err = weightsOf(s.Config, shards); err != nil {
		return s, err
	}
	return s, s.check()
}

// addGeneration takes the tokens that end a text from generation_config.json, where there are more of them.
func (c *Config) addGeneration(data []byte) error {
	var g struct {
		EOS TokenIDs `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return fmt.Errorf("llama: %s: %w", GenerationFile, err)
	}
	if len(g.EOS) > len(c.EOS) {
		c.EOS = g.EOS
	}
	return c.check()
}

// shards opens the safetensors of a folder and returns which one holds each tensor.
func (s *Source) shards(path string) (map[string]*safetensors.Index, error) {
	files := []string{WeightsFile}
	text, err := readText(filepath.Join(path, indexFile))
	switch {
	case err == nil:
		var index struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(text, &index); err != nil {
			return nil, fmt.Errorf("llama: %s: %w", indexFile, err)
		}
		files = nil
		for tensor, name := range index.WeightMap {
			if name != filepath.Base(name) || !filepath.IsLocal(name) {
				return nil, fmt.Errorf("llama: %s: tensor %.200q lies in %q, which is no file name", indexFile, tensor, name)
			}
			if !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
		slices.Sort(files)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	held := map[string]*safetensors.Index{}
	for _, name := range files {
		s.Files = append(s.Files, name)
		file, size, err := open(filepath.Join(path, name))
		if err != nil {
			return nil, fmt.Errorf("%w (only safetensors and GGUF are read)", err)
		}
		s.opened = append(s.opened, file)
		x, err := safetensors.Open(file, size)
		if err != nil {
			return nil, fmt.Errorf("llama: %s: %w", name, err)
		}
		for tensor := range x.Spans {
			if held[tensor] != nil {
				return nil, fmt.Errorf("llama: %s: tensor %.200q is in another file too", name, tensor)
			}
			held[tensor] = x
		}
	}
	return held, nil
}

func open(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("llama: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe waits for somebody who writes to it
		return nil, 0, fmt.Errorf("llama: %s is no file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("llama: %w", err)
	}
	return file, info.Size(), nil
}

func readText(path string) ([]byte, error) {
	file, size, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > maxText {
		return nil, fmt.Errorf("llama: %s has %d bytes, more than %d", filepath.Base(path), size, maxText)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("llama: %s: %w", filepath.Base(path), err)
	}
	return data, nil
}

// openGGUF opens a GGUF file with its tokenizer inside.
func openGGUF(path string) (s *Source, err error) {
	s = &Source{Files: []string{filepath.Base(path)}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, s.Close()))
			s = nil
		}
	}()
	file, size, err := open(path)
	if err != nil {
		return s, err
	}
	s.opened = append(s.opened, file)
	content, err := gguf.Read(file, size)
	if err != nil {
		return s, err
	}
	return s, s.fromGGUF(content)
}

// fromGGUF finds config, weights and tokenizer in a file that is open.
func (s *Source) fromGGUF(content *gguf.File) (err error) {
	if s.Config, err = configFromGGUF(content); err != nil {
		return err
	}
	if s.weights, err = weightsFromGGUF(s.Config, content); err != nil {
		return err
	}
	if s.Tokenizer, err = tokenizerFromGGUF(content); err != nil {
		return err
	}
	if licence, err := content.Text("general.license"); err == nil {
		s.Licence = strings.TrimSpace(licence)
	}
	return s.check()
}
