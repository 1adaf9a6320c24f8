package llama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"llamaxr/inference/engine"
)

// maxContext is the most positions that are kept of one text.
const maxContext = 4096

// Names of a PEFT folder's files.
const (
	AdapterConfigFile  = "adapter_config.json"
	AdapterWeightsFile = "adapter_model.safetensors"
)

// AdapterManifestFile lies beside an adapter and names the prompt template it was trained on.
const AdapterManifestFile = "manifest.json"

// AdapterManifest is what an adapter needs besides its weights.
type AdapterManifest struct {
	Template string `json:"template"`
	// Base is the digest of the language model it was made for, empty where that is not known.
	Base string `json:"base_digest,omitempty"`
}

// ErrPromptTooLong is returned when prompt and response do not fit the model's positions.
var ErrPromptTooLong = errors.New("llama: prompt and response do not fit the model's context")

// Model writes text. It is safe for concurrent use: texts that are written at once share passes over the weights.
type Model struct {
	Config    *Config
	Tokenizer *Tokenizer

	stops   map[int]bool // tokens that end a text
	context int
	places  chan struct{} // one taken by each text that is written

	mu    sync.RWMutex // held by each text that is written: what follows does not change under it
	head  *Head
	plain bool // no speculation
	end   func(text string) int

	passing sync.Mutex // held during a pass, and for what follows
	machine machine
	slots   []slot
	guesses guesses
	writing int // texts past their prompts
	waiting []*request
}

// machine computes passes of one model.
type machine interface {
	// name says what computes, for logs and records of drafts.
	name() string
	// adapt puts an adapter over the base, nil for none.
	adapt(a *Adapter) error
	// forward runs parts of at most mostTexts texts. It keeps their keys and values, and replaces what was kept from each part's first position
	// on. Until the next pass it can be asked what comes after the tokens that are wanted, part by part, 1 to mostWanted of each.
	forward(parts ...part) error
	mostTexts() int
	// forget gives back what keys and values take; no text is kept then.
	forget()
	mostWanted() int
	// scores are those over the vocabulary, good until the next call.
	scores() [][]float32
	// best are the likeliest tokens: the first of the largest scores.
	best() []int
	// invariant reports whether a token's results have the same bits whichever tokens share its pass: then what was kept of an earlier
	// text that begins alike can be gone on from.
	invariant() bool
}

// part is what a pass runs of one text: tokens at positions from, from+1, ... What comes after the last want of them is wanted.
type part struct {
	slot       int // the place of the text's keys and values
	tokens     []int
	from, want int
}

// Kind is which machine computes.
type Kind int

// Kinds of machines. Auto is OnGraph on a GPU, else NativeInt16.
const (
	Auto Kind = iota
	OnGraph
	NativeExact
	NativeInt16
)

// resolve says what Auto is.
func (k Kind) resolve(eng *engine.Engine) Kind {
	switch {
	case k != Auto:
		return k
	case eng.Name == engine.XLACUDA:
		return OnGraph
	}
	return NativeInt16
}

// Load reads a model's folder.
func Load(eng *engine.Engine, files fs.FS) (*Model, error) { return LoadAs(eng, files, Auto) }

// LoadAs reads a model's folder for a kind of machine.
func LoadAs(eng *engine.Engine, files fs.FS, kind Kind) (*Model, error) {
	source, file, err := sourceIn(files)
	if err != nil {
		return nil, err
	}
	if source.Tokenizer, err = fs.ReadFile(files, TokenizerFile); err != nil {
		file.release()
		return nil, fmt.Errorf("llama: %w", err)
	}
	return build(eng, source, kind, file)
}

// build makes a model of a source whose bytes lie in file.
func build(eng *engine.Engine, s *Source, kind Kind, file *mapping) (*Model, error) {
	m := &Model{Config: s.Config}
	m.context = m.positions()
	var err error
	if m.Tokenizer, err = ParseTokenizer(s.Tokenizer); err == nil {
		err = m.Tokenizer.Fit(s.Config)
	}
	if err != nil {
		file.release()
		return nil, err
	}
	m.stops = map[int]bool{m.Tokenizer.EOS: true}
	for _, id := range s.Config.EOS {
		m.stops[id] = true
	}
	if kind = kind.resolve(eng); kind == OnGraph {
		m.machine, err = newGraphMachine(eng, s, m.context)
		file.release() // the values were copied
	} else {
		m.machine, err = newNative(s, kind, m.context, file)
	}
	if err != nil {
		return nil, err
	}
	m.slots = make([]slot, m.machine.mostTexts())
	m.places = make(chan struct{}, len(m.slots))
	return m, nil
}

// Engine names what computes.
func (m *Model) Engine() string { return m.machine.name() }

// SetAdapter puts a PEFT folder's adapter, LoRA or a prefix, over the base, nil for none; the base stays as it is.
func (m *Model) SetAdapter(files fs.FS) error {
	if files == nil {
		return m.adapt(nil)
	}
	config, err := fs.ReadFile(files, AdapterConfigFile)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	data, err := fs.ReadFile(files, AdapterWeightsFile)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	a, err := ReadAdapter(m.Config, config, data)
	if err != nil {
		return err
	}
	return m.adapt(a)
}

// positions is how many are computed with: those of a text, and of a prefix before it.
func (m *Model) positions() int { return min(m.Config.MaxPositions, maxContext) }

func (m *Model) adapt(a *Adapter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	if m.context = m.positions(); a != nil {
		m.context -= a.Prefix.Tokens
	}
	return m.machine.adapt(a)
}

// ReadAdapterManifest reads the manifest beside an adapter.
func ReadAdapterManifest(files fs.FS) (AdapterManifest, error) {
	data, err := fs.ReadFile(files, AdapterManifestFile)
	if err != nil {
		return AdapterManifest{}, fmt.Errorf("llama: adapter: %w", err)
	}
	return ParseAdapterManifest(data)
}

// ParseAdapterManifest reads an adapter's manifest.
func ParseAdapterManifest(data []byte) (manifest AdapterManifest, err error) {
	if err := json.Unmarshal(data, &manifest); err != nil {
		return manifest, fmt.Errorf("llama: adapter: %s: %w", AdapterManifestFile, err)
	}
	return manifest, nil
}

// Result is a generated text and what it cost.
type Result struct {
	Text            string
	PromptTokens    int
	KeptTokens      int // of the prompt, whose keys and values were there: from the text before, or from the file of the head
	NewTokens       int
	Passes          int // over the weights, after the prompt's: speculation makes them fewer than the new tokens
	Prefill, Decode time.Duration
	Finished        bool // the model ended the text itself, or SetEnd's function did
}

// SetEnd says where a text ends that the model does not end itself: at the place in it that end returns, which is below 0 while there is none.
func (m *Model) SetEnd(end func(text string) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = end
}

// Generate continues prompt greedily for at most limit tokens. What else is written meanwhile changes no token of it.
func (m *Model) Generate(ctx context.Context, prompt string, limit int) (*Result, error) {
	text, result, err := m.write(ctx, m.Tokenizer.Prompt(prompt), limit, m.ending, unforced)
	if err == nil {
		m.learn(text, result.PromptTokens)
	}
	return result, err
}

// write continues a prompt's tokens; pick says which token comes after n new ones, when the model holds one for the likeliest, and end where the text
// ends. It returns the tokens too: the prompt's, the new ones and the one that would come next.
func (m *Model) write(ctx context.Context, ids []int, limit int, ending func(text string) int, pick func(likeliest, n int) int) ([]int, *Result, error) {
	leave, err := m.enter(ctx, len(ids)+limit)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	started := time.Now()
	slot, kept, likeliest, err := m.begin(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	defer m.finish(slot)
	next := pick(likeliest, 0)
	result := &Result{PromptTokens: len(ids), KeptTokens: kept, Prefill: time.Since(started)}
	started = time.Now()
	text := slices.Clone(ids) // and what is written
	end := -1
	over := func() bool {
		end = ending(m.Tokenizer.Decode(text[len(ids):]))
		return end >= 0
	}
	for len(text)-len(ids) < limit {
		if m.stops[next] {
			result.Finished = true
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("llama: generating: %w", err)
		}
		if text = append(text, next); over() {
			break
		}
		drafted, best, err := m.goOn(slot, text, min(m.mostGuessed(), limit-(len(text)-len(ids))))
		if err != nil {
			return nil, nil, err
		}
		result.Passes++
		next = pick(best[0], len(text)-len(ids))
		for i := 0; i < len(drafted) && drafted[i] == next && !m.stops[next]; i++ {
			text = append(text, next)
			next = pick(best[i+1], len(text)-len(ids))
			if over() {
				break
			}
		}
		if end >= 0 {
			break
		}
	}
	out := text[len(ids):]
	result.Decode = time.Since(started)
	result.NewTokens = len(out)
	if result.Text = m.Tokenizer.Decode(out); end >= 0 {
		result.Text, result.Finished = strings.TrimRight(result.Text[:end], " \n"), true
	}
	return append(text, next), result, nil
}

func unforced(likeliest, _ int) int { return likeliest }

// ending is where a text ends by SetEnd's function; a text that is written holds mu.
func (m *Model) ending(text string) int {
	if m.end == nil {
		return -1
	}
	return m.end(text)
}

func bestOf(scores [][]float32) []int {
	out := make([]int, len(scores))
	for i := range out {
		out[i] = argMax(scores[i])
	}
	return out
}

// argMax returns the first of the largest scores.
func argMax(scores []float32) int {
	best := 0
	for i, s := range scores {
		if s > scores[best] {
			best = i
		}
	}
	return best
}

// Logits returns the scores over the vocabulary after the given tokens, for tests against reference programs.
func (m *Model) Logits(ids []int) ([]float32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.forward(part{tokens: ids, want: 1}); err != nil {
		return nil, err
	}
	return slices.Clone(m.machine.scores()[0]), nil
}
