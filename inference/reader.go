package inference

import (
	"context"
	"fmt"
	"io/fs"
	"time"

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
	Engine     string
	Cards      []study.ModelCard
	classifier *xrv.Model
	writer     *llama.Model
	template   prompt.Template
}

// OpenStarter loads the starter bundle onto an engine.
func OpenStarter(eng *engine.Engine) (*Reader, error) { return Open(eng, nil) }

// Open loads the models that were chosen in a registry, and the starter's where none was; store may be nil.
func Open(eng *engine.Engine, store *models.Store) (*Reader, error) {
	chosen, err := choose(store)
	if err != nil {
		return nil, err
	}
	r := &Reader{Engine: eng.Name}
	if err := r.openClassifier(eng, chosen.classifier); err != nil {
		return nil, err
	}
	if r.writer, err = llama.Load(eng, chosen.language.files); err != nil {
		return nil, err
	}
	r.Cards = append(r.Cards, chosen.language.card)
	template := chosen.language.template
	if a := chosen.adapter; a != nil {
		if err := r.writer.SetAdapter(a.files); err != nil {
			return nil, err
		}
		manifest, err := llama.ReadAdapterManifest(a.files)
		if err != nil {
			return nil, err
		}
		template = manifest.Template
		r.Cards = append(r.Cards, a.card)
	}
	r.template, err = prompt.ByName(template)
	return r, err
}

func (r *Reader) openClassifier(eng *engine.Engine, chosen part) error {
	text, err := fs.ReadFile(chosen.files, models.DenseNetCard)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	card, err := xrv.ParseCard(text)
	if err != nil {
		return err
	}
	weights, err := fs.ReadFile(chosen.files, models.DenseNetWeights)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	if r.classifier, err = xrv.Load(eng, weights, card); err != nil {
		return err
	}
	chosen.card.Name = card.Name
	r.Cards = append(r.Cards, chosen.card)
	return nil
}

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
	NewTokens              int
	Prefill, Decode        time.Duration
}

// Write fills the prompt with the scores and lets the language model write.
func (r *Reader) Write(ctx context.Context, scores study.PairScores) (*Written, error) {
	filled := r.template.Fill(scores)
	result, err := r.writer.Generate(ctx, filled, maxReportTokens)
	if err != nil {
		return nil, err
	}
	return &Written{
		Template: r.template.Name, Prompt: filled, Text: result.Text, NewTokens: result.NewTokens, Prefill: result.Prefill, Decode: result.Decode,
	}, nil
}
