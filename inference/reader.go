package inference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
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
	// Wrote, when not nil, is told of each report that Write returns; it is set before the first.
	Wrote      func(*Written)
	classifier *xrv.Model
	writer     *llama.Model
	heads      string // folder of the kept heads of prompts; empty for none

	mu       sync.Mutex // held while a report is written: its adapter does not change under it
	cards    []study.ModelCard
	template prompt.Template
	chosen   *parts
	due      *parts // what must be put back before the next text, after one by another adapter
}

// OpenStarter loads the starter bundle onto an engine.
func OpenStarter(eng *engine.Engine) (*Reader, error) { return Open(eng, nil) }

// Open loads the models that were chosen in a registry, and the starter's where none was; store may be nil.
func Open(eng *engine.Engine, store *models.Store) (*Reader, error) {
	chosen, err := choose(store)
	if err != nil {
		return nil, err
	}
	r := &Reader{chosen: chosen}
	if store != nil {
		r.heads = store.HeadFolder()
	}
	if err := r.openClassifier(eng, chosen.classifier); err != nil {
		return nil, err
	}
	if r.writer, err = llama.Load(eng, chosen.language.files); err != nil {
		return nil, err
	}
	r.Engine = eng.Name + ", " + r.writer.Engine()
	r.cards = append(r.cards, chosen.language.card)
	return r, r.adapt(chosen)
}

// adapt puts the adapter of a choice over the language model. Cards before the adapter's stay.
func (r *Reader) adapt(chosen *parts) error {
	cards, template := r.cards[:2:2], chosen.language.template
	if a := chosen.adapter; a != nil {
		manifest, err := llama.ReadAdapterManifest(a.files)
		if err != nil {
			return err
		}
		if err := r.writer.SetAdapter(a.files); err != nil {
			return err
		}
		template, cards = manifest.Template, append(cards, a.card)
	}
	filled, err := prompt.ByName(template)
	if err != nil {
		return err
	}
	r.cards, r.template, r.chosen = cards, filled, chosen
	r.keepHead()
	return nil
}

// keepHead says to the language model what all prompts begin with.
func (r *Reader) keepHead() {
	if r.heads == "" {
		return
	}
	head := &llama.Head{Folder: r.heads, Text: r.template.Head, Key: llama.HeadKey{Model: r.chosen.language.card.Digest, Prompt: r.template.Digest()}}
	if r.chosen.adapter != nil {
		head.Key.Adapter = r.chosen.adapter.card.Digest
	}
	r.writer.SetHead(head)
}

// ErrOtherBase is returned for a choice that only a restart can follow: another classifier or language model.
var ErrOtherBase = errors.New("inference: another classifier or language model was chosen: restart to use it")

// Adapt follows a changed choice of adapter without reading the models again. The report being written is finished first.
func (r *Reader) Adapt(store *models.Store) error {
	chosen, err := choose(store)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if chosen.language.card != r.chosen.language.card || chosen.classifier.card.Digest != r.chosen.classifier.card.Digest ||
		chosen.adapter == nil && r.chosen.adapter != nil {
		return ErrOtherBase
	}
	r.due = nil
	return r.adapt(chosen)
}

// Cards describe the models in use.
func (r *Reader) Cards() []study.ModelCard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.cards)
}

// LanguageModel is the folder of the language model in use, the folder of its adapter (nil when there is none), the prompt template and
// the model's digest: what fine-tuning starts from.
func (r *Reader) LanguageModel() (base, adapter fs.FS, template prompt.Template, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chosen.adapter != nil {
		adapter = r.chosen.adapter.files
	}
	return r.chosen.language.files, adapter, r.template, r.chosen.language.card.Digest
}

func (r *Reader) openClassifier(eng *engine.Engine, chosen part) error {
	text, err := fs.ReadFile(chosen.files, chosen.cardFile)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	card, err := xrv.ParseCard(text)
	if err != nil {
		return err
	}
	weights, err := fs.ReadFile(chosen.files, chosen.weightsFile)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	if r.classifier, err = xrv.Load(eng, weights, card); err != nil {
		return err
	}
	chosen.card.Name = card.Name
	r.cards = append(r.cards, chosen.card)
	return nil
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

// Write fills the prompt with the scores and lets the language model write.
func (r *Reader) Write(ctx context.Context, scores study.PairScores) (*Written, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.goBack(); err != nil {
		return nil, err
	}
	return r.write(ctx, scores)
}

// write is Write with the adapter that lies over the model; mu is held.
func (r *Reader) write(ctx context.Context, scores study.PairScores) (*Written, error) {
	filled := r.template.Fill(scores)
	result, err := r.writer.Generate(ctx, filled, maxReportTokens)
	if err != nil {
		return nil, err
	}
	written := &Written{
		Template: r.template.Name, Prompt: filled, Text: result.Text, Models: slices.Clone(r.cards),
		PromptTokens: result.PromptTokens, KeptTokens: result.KeptTokens, NewTokens: result.NewTokens, Prefill: result.Prefill, Decode: result.Decode,
	}
	if r.Wrote != nil {
		r.Wrote(written)
	}
	return written, nil
}
