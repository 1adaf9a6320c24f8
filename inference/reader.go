package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"llamaxr/inference/drift"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
	"llamaxr/inference/xrv"
	"llamaxr/study"
)

// maxReportTokens bounds a report; real ones have under 200 tokens.
const maxReportTokens = 220

// Reader scores views and writes reports with one set of models.
type Reader struct {
	Engine string // what scores, then what writes
	// Wrote, when not nil, is told of each report that Write returns, of several at once; it is set before the first.
	Wrote      func(*Written)
	classifier *xrv.Model
	writer     *llama.Model
	heads      string // folder of the kept heads of prompts; empty for none

	inUse atomic.Pointer[choice]
	// writing is held while reports are written, by all of them together: their adapter does not change under them. Who asks what is in use does
	// not wait for it.
	writing sync.RWMutex
	laid    *choice // whose adapter lies over the language model; nil after one could not be laid whole
}

// choice is a set of models with what follows from it.
type choice struct {
	*parts
	cards    []study.ModelCard
	template prompt.Template
}

// OpenStarter loads the starter bundle onto an engine.
func OpenStarter(eng *engine.Engine) (*Reader, error) { return Open(eng, nil) }

// Open loads the models that were chosen in a registry, and the starter's where none was; store may be nil.
func Open(eng *engine.Engine, store *models.Store) (*Reader, error) {
	chosen, err := choose(store)
	if err != nil {
		return nil, err
	}
	verified := make(chan error, 1)
	go func() { verified <- chosen.verifyLanguage() }()
	r, err := open(eng, store, chosen)
	if fault := <-verified; fault != nil { // whatever came of files that are not what they should be
		return nil, fault
	}
	return r, err
}

func open(eng *engine.Engine, store *models.Store, chosen *parts) (r *Reader, err error) {
	r = new(Reader)
	if store != nil {
		r.heads = store.HeadFolder()
	}
	if chosen.classifier.card.Name, err = r.openClassifier(eng, chosen.classifier); err != nil {
		return nil, err
	}
	if r.writer, err = llama.Load(eng, chosen.language.files); err != nil {
		return nil, err
	}
	r.Engine = r.classifier.Engine() + ", " + r.writer.Engine()
	if err := r.lay(chosen); err != nil {
		return nil, err
	}
	r.inUse.Store(r.laid)
	return r, nil
}

// lay puts the adapter of a choice over the language model. Once the reader is open writing is held.
func (r *Reader) lay(chosen *parts) error {
	r.laid = nil
	next := &choice{parts: chosen, cards: []study.ModelCard{chosen.classifier.card, chosen.language.card}}
	template := chosen.language.template
	if a := chosen.adapter; a != nil {
		manifest, err := llama.ReadAdapterManifest(a.files)
		if err != nil {
			return err
		}
		if err := r.writer.SetAdapter(a.files); err != nil {
			return err
		}
		template, next.cards = manifest.Template, append(next.cards, a.card)
	} else if r.inUse.Load() != nil { // there may have been one
		if err := r.writer.SetAdapter(nil); err != nil {
			return err
		}
	}
	var err error
	if next.template, err = prompt.ByName(template); err != nil {
		return err
	}
	r.keepHead(next)
	r.writer.SetEnd(next.template.End)
	r.laid = next
	return nil
}

// keepHead says to the language model what all prompts begin with.
func (r *Reader) keepHead(c *choice) {
	if r.heads == "" {
		return
	}
	head := &llama.Head{Folder: r.heads, Text: c.template.Head, Key: llama.HeadKey{Model: c.language.card.Digest, Prompt: c.template.Digest()}}
	if c.adapter != nil {
		head.Key.Adapter = c.adapter.card.Digest
	}
	r.writer.SetHead(head)
}

// ErrOtherBase is returned for a choice that only a restart can follow: another classifier or language model.
var ErrOtherBase = errors.New("inference: another classifier or language model was chosen: restart to use it")

// Adapt follows a changed choice of adapter without reading the models again. The reports being written are finished first.
func (r *Reader) Adapt(store *models.Store) error {
	chosen, err := choose(store)
	if err == nil {
		err = chosen.verifyLanguage()
	}
	if err != nil {
		return err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	before := r.inUse.Load()
	if chosen.language.card != before.language.card || chosen.classifier.card.Digest != before.classifier.card.Digest {
		return ErrOtherBase
	}
	chosen.classifier = before.classifier // whose name was read with it
	if err := r.lay(chosen); err != nil {
		return err
	}
	r.inUse.Store(r.laid)
	return nil
}

// Cards describe the models in use.
func (r *Reader) Cards() []study.ModelCard { return slices.Clone(r.inUse.Load().cards) }

// LanguageModel is the folder of the language model in use, the folder of its adapter (nil when there is none), the prompt template and
// the model's digest: what fine-tuning starts from.
func (r *Reader) LanguageModel() (base, adapter fs.FS, template prompt.Template, digest string) {
	in := r.inUse.Load()
	if in.adapter != nil {
		adapter = in.adapter.files
	}
	return in.language.files, adapter, in.template, in.language.card.Digest
}

// openClassifier loads a classifier and returns the name that its card has.
func (r *Reader) openClassifier(eng *engine.Engine, chosen part) (name string, err error) {
	text, err := fs.ReadFile(chosen.files, chosen.cardFile)
	if err != nil {
		return "", fmt.Errorf("inference: %w", err)
	}
	card, err := xrv.ParseCard(text)
	if err != nil {
		return "", err
	}
	weights, err := fs.ReadFile(chosen.files, chosen.weightsFile)
	if err != nil {
		return "", fmt.Errorf("inference: %w", err)
	}
	r.classifier, err = xrv.Load(eng, weights, card)
	return card.Name, err
}

// Reference is how the scores of the classifier in use are distributed where it was measured; nil where nobody did.
func (r *Reader) Reference() *drift.Reference { return r.classifier.Reference() }

// InputSize is the side in pixels of the views that the classifier in use takes.
func (r *Reader) InputSize() int { return r.classifier.InputSize() }

// Score scores the views that are there, at least one, and returns their heat maps.
func (r *Reader) Score(ctx context.Context, frontal, lateral *study.Normalised) (study.PairScores, []study.HeatMap, error) {
	var views []study.Normalised
	var kinds []study.Projection
	for _, v := range []struct {
		kind study.Projection
		view *study.Normalised
	}{{study.Frontal, frontal}, {study.Lateral, lateral}} {
		if v.view != nil {
			views, kinds = append(views, *v.view), append(kinds, v.kind)
		}
	}
	scores, maps, err := r.classifier.Score(ctx, views)
	if err != nil {
		return study.PairScores{}, nil, err
	}
	var pair study.PairScores
	var all []study.HeatMap
	for i, kind := range kinds {
		switch kind {
		case study.Frontal:
			pair.Frontal = &scores[i]
		case study.Lateral:
			pair.Lateral = &scores[i]
		}
		for _, m := range maps[i] {
			m.View = kind
			all = append(all, m)
		}
	}
	return pair, all, nil
}

// Written is a report as the language model wrote it.
type Written struct {
	Template, Prompt, Text string
	Models                 []study.ModelCard
	PromptTokens           int
	KeptTokens             int // of the prompt, that were not computed
	NewTokens              int
	Prefill, Decode        time.Duration
}

// MostTogether is how many reports are written in about the time of fewer; more than that wait.
const MostTogether = llama.MostTogether

// Reading is told of a text while the models that wrote it can write other sentences of it: what llama.Model.Others does in the place of text[from:to].
type Reading func(text string, others func(from, to int, worth, takes func(sentence string) bool) error) error

// Write fills the prompt with the scores and lets the language model write; read, where not nil, is told of the text. Reports that are written at once
// share its passes.
func (r *Reader) Write(ctx context.Context, scores study.PairScores, read Reading) (*Written, error) {
	r.writing.RLock()
	for r.laid != r.inUse.Load() {
		r.writing.RUnlock()
		if err := r.goBackAlone(); err != nil {
			return nil, err
		}
		r.writing.RLock()
	}
	defer r.writing.RUnlock()
	return r.write(ctx, scores, read)
}

// write is Write with the adapter that lies over the model; writing is held.
func (r *Reader) write(ctx context.Context, scores study.PairScores, read Reading) (*Written, error) {
	filled := r.laid.template.Fill(scores)
	result, err := r.writer.Generate(ctx, filled, maxReportTokens)
	if err != nil {
		return nil, err
	}
	written := &Written{
		Template: r.laid.template.Name, Prompt: filled, Text: result.Text, Models: slices.Clone(r.laid.cards),
		PromptTokens: result.PromptTokens, KeptTokens: result.KeptTokens, NewTokens: result.NewTokens, Prefill: result.Prefill, Decode: result.Decode,
	}
	if r.Wrote != nil {
		r.Wrote(written)
	}
	if read != nil {
		err = read(written.Text, func(from, to int, worth, takes func(string) bool) error {
			return r.writer.Others(ctx, filled, written.Text, from, to, worth, takes)
		})
	}
	return written, err
}
