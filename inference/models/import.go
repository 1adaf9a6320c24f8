package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/inference/xrv"
	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
)

// Import says what to import and how.
type Import struct {
	From          string // a Hugging Face folder or a GGUF file; a classifier's .pt or .safetensors file
	Name          string // empty: from the folder's or file's name
	Precision     llama.Precision
	Template      string // empty: grounded
	AcceptLicence string // the licence's name, as the model's files say it
	LicenceFile   string // its text, where the model's files do not hold it
	Origin        Origin // empty: From
	Released      string // of a classifier: which of torchxrayvision's weights they are, where the file does not say it
	Card          string // of a classifier: the file that says what its outputs mean, where it is none of those
	Now           time.Time
	Progress      func(Progress)
}

// Import takes a language model or a classifier into the registry. A language model is written weight by weight; what a killed import had written is used when
// the same import is started again. Nothing is installed before the last byte is.
func (s *Store) Import(ctx context.Context, what Import) (*Model, error) {
	if what.Name == "" {
		what.Name = nameFrom(what.From)
	}
	kind := KindLlama
	if isClassifier(what.From) {
		kind = KindClassifier
	}
	if err := s.check(&what, kind); err != nil {
		return nil, err
	}
	if kind == KindClassifier {
		return s.importClassifier(ctx, what)
	}
	source, err := llama.OpenSource(what.From)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	licence, err := acceptLicence(what, source.Licence)
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	packing, err := source.Pack(what.Precision)
	if err != nil {
		return nil, err
	}
	job, err := s.openJob(what, source)
	if err != nil {
		return nil, err
	}
	if err := room(job.folder, job.left(packing)); err != nil {
		return nil, err
	}
	if err := checkSums(ctx, what.From, source.Files, what.Progress); err != nil {
		return nil, err
	}
	files, err := job.write(ctx, source, packing, what.Progress)
	if err != nil {
		var disk *fs.PathError
		if ctx.Err() == nil && !errors.As(err, &disk) { // the source is at fault, and will be: what was written of it only takes room
			err = fmt.Errorf("%s: %w", what.From, errors.Join(err, os.RemoveAll(job.folder)))
		}
		return nil, err
	}
	c := source.Config
	m := &Model{
		Name: what.Name, Kind: KindLlama, Source: what.Origin, Licence: licence, Precision: string(what.Precision), Tokenizer: llama.TokenizerFile,
		Template: what.Template, Imported: what.Now.UTC(), Architecture: fmt.Sprintf("Llama, %d layers of %d, %d heads on %d, %d tokens",
			c.Layers, c.HiddenSize, c.Heads, c.KVHeads, c.VocabSize),
	}
	if m.Source.From == "" {
		m.Source.From = what.From
	}
	m.Source.Files = source.Files
	if err := s.install(m, files); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(job.folder); err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	return m, nil
}

// check reports what can be told of an import before its files are looked at, and fills in the template.
func (s *Store) check(what *Import, kind Kind) error {
	if err := s.checkName(what.Name, kind); err != nil || kind == KindClassifier {
		return err
	}
	if what.Released != "" || what.Card != "" {
		return fmt.Errorf("models: %s is no classifier's file (.pt, .pth, .safetensors), which alone has labels", what.From)
	}
	if what.Template == "" {
		what.Template = prompt.Grounded.Name
	}
	if _, err := prompt.ByName(what.Template); err != nil {
		return err
	}
	if what.Precision != llama.NF4 && what.Precision != llama.Full {
		return fmt.Errorf("models: precision %q is neither %s nor %s", what.Precision, llama.NF4, llama.Full)
	}
	return nil
}

// checkName refuses a name that is none, that the commands give another meaning, or that a model of another kind has: it would be lost.
func (s *Store) checkName(name string, kind Kind) error {
	switch {
	case !validName.MatchString(name):
		return fmt.Errorf("models: %q cannot be a model's name: a-z, 0-9, dot, dash and underscore, 64 at most; --name gives another", name)
	case name == StarterName:
		return fmt.Errorf("models: %q cannot be a model's name: `use %s` means something else; --name gives another", name, name)
	}
	if m, err := s.Get(name); err == nil && m.Kind != kind {
		return fmt.Errorf("models: %q is the name of a %s that is there already; --name gives another", name, m.Kind.Role())
	}
	return nil
}

// nameFrom makes a model's name of a path.
func nameFrom(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	name := strings.ToLower(filepath.Base(path))
	if filepath.Ext(path) == ".gguf" || isClassifier(path) {
		if card, err := xrv.ReleasedCard(path); err == nil {
			return card.Name
		}
		name = strings.TrimSuffix(name, strings.ToLower(filepath.Ext(path)))
	}
	return strings.ReplaceAll(name, " ", "-")
}

// job is an import's work folder.
type job struct {
	folder string
	state  jobState
}

// jobState says which steps are on disk for good.
type jobState struct {
	Name  string `json:"name"`
	Steps int    `json:"steps"`
}

const (
	jobFile  = "job.json"
	partFile = "model.part"
)

// openJob finds or makes the work folder of an import. It is known by everything that decides what is written: another source, or the
// same files changed since, is another job.
func (s *Store) openJob(what Import, source *llama.Source) (*job, error) {
	key := sha256.New()
	fmt.Fprintf(key, "%s\n%s\n", what.Name, what.Precision)
	for _, name := range source.Files {
		path := filepath.Join(folderOf(what.From), name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // one that may be missing
		}
		if err != nil {
			return nil, fmt.Errorf("models: %w", err)
		}
		fmt.Fprintf(key, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	j := &job{folder: s.path(workFolder, hex.EncodeToString(key.Sum(nil)[:16]))}
	if err := os.MkdirAll(j.folder, 0o700); err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	if text, err := os.ReadFile(filepath.Join(j.folder, jobFile)); err == nil {
		if json.Unmarshal(text, &j.state) != nil {
			j.state = jobState{} // begin again
		}
	}
	j.state.Name = what.Name
	return j, nil
}

// left is the number of bytes that are still to be written.
func (j *job) left(packing *llama.Packing) (bytes int64) {
	for step := max(j.state.Steps, 0); step < packing.Steps(); step++ {
		bytes += packing.Size(step)
	}
	return bytes
}

// keptFree is what an import leaves of the disk: a full one would turn away images. It is the appliance's minimum_free_bytes when that is not set.
const keptFree = 1 << 30

// room reports that so many bytes would fill the disk under a folder.
func room(folder string, bytes int64) error {
	free, err := durable.Free(folder)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	if free-bytes < keptFree {
		return fmt.Errorf("models: the disk under %s has %.1f GB free: %.1f are to be written and %.1f kept free; make room, the same command goes on",
			folder, float64(free)/1e9, float64(bytes)/1e9, float64(keptFree)/1e9)
	}
	return nil
}

// folderOf is the folder that a source's files lie in.
func folderOf(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return filepath.Dir(path)
	}
	return path
}

// write writes a model's files into the work folder.
func (j *job) write(ctx context.Context, source *llama.Source, packing *llama.Packing, progress func(Progress)) (map[string]staged, error) {
	config, err := json.MarshalIndent(source.Config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	files := map[string]staged{}
	for name, data := range map[string][]byte{llama.ConfigFile: config, llama.TokenizerFile: source.Tokenizer} {
		if files[name], err = stage(j.folder, name, data); err != nil {
			return nil, err
		}
	}
	files[llama.WeightsFile], err = j.writeWeights(ctx, packing, progress)
	return files, err
}

// stage writes one small file, synced.
func stage(folder, name string, data []byte) (staged, error) {
	path := filepath.Join(folder, name)
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return staged{}, fmt.Errorf("models: %s: %w", name, err)
	}
	return staged{path, File{sumOf(data), int64(len(data))}}, nil
}

func (j *job) writeWeights(ctx context.Context, packing *llama.Packing, progress func(Progress)) (staged, error) {
	path := filepath.Join(j.folder, partFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return staged{}, fmt.Errorf("models: %w", err)
	}
	defer file.Close()
	total := int64(0)
	for step := range packing.Steps() {
		total += packing.Size(step)
	}
	meter := newMeter(progress, total)
	sum := sha256.New()
	size, err := j.resume(file, packing, sum)
	if err != nil {
		return staged{}, err
	}
	meter.of(llama.WeightsFile)(int(size))
	out := io.MultiWriter(file, sum)
	for step := j.state.Steps; step < packing.Steps(); step++ {
		if err := ctx.Err(); err != nil {
			return staged{}, fmt.Errorf("models: import stopped; the same command goes on where it was: %w", err)
		}
		if err := packing.Write(step, out); err != nil {
			return staged{}, err
		}
		if err := file.Sync(); err != nil {
			return staged{}, fmt.Errorf("models: %w", err)
		}
		j.state.Steps = step + 1
		if err := j.save(); err != nil {
			return staged{}, err
		}
		size += packing.Size(step)
		meter.of(llama.WeightsFile)(int(packing.Size(step)))
	}
	return staged{path, File{hex.EncodeToString(sum.Sum(nil)), size}}, nil
}

// resume cuts the file to the steps that are on disk for good and hashes them.
func (j *job) resume(file *os.File, packing *llama.Packing, sum hash.Hash) (size int64, err error) {
	j.state.Steps = min(max(j.state.Steps, 0), packing.Steps())
	for step := range j.state.Steps {
		size += packing.Size(step)
	}
	if n, err := io.CopyN(sum, file, size); err != nil && n < size { // shorter than it should be: begin again
		sum.Reset()
		j.state.Steps, size = 0, 0
	}
	if err := file.Truncate(size); err != nil {
		return 0, fmt.Errorf("models: %w", err)
	}
	if _, err := file.Seek(size, io.SeekStart); err != nil {
		return 0, fmt.Errorf("models: %w", err)
	}
	return size, nil
}

func (j *job) save() error {
	text, err := json.Marshal(j.state)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(j.folder, jobFile), text, 0o600); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}
