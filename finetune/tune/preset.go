package tune

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"llamaxr/finetune/qlora"
	"llamaxr/finetune/rows"
	"llamaxr/inference/llama"
)

// Preset are the settings of a run.
type Preset struct {
	Name          string       `json:"name"`
	Rank          int          `json:"rank"`
	Alpha         int          `json:"alpha"`
	Prefix        int          `json:"prefix,omitempty"` // virtual tokens; with neither these nor a rank the whole model trains
	Batch         int          `json:"batch"`
	Accumulate    int          `json:"accumulate"`
	Epochs        float64      `json:"epochs"`
	MaxSteps      int          `json:"max_steps"` // 0: as the epochs say
	PeakRate      float64      `json:"peak_rate"`
	Warmup        int          `json:"warmup_steps"`
	Decay         float64      `json:"weight_decay"`
	Beta2         float64      `json:"beta2"`
	EightBit      bool         `json:"eight_bit_moments"`
	Checkpointing bool         `json:"gradient_checkpointing"` // also of a model too large to train without
	Mixed         bool         `json:"mixed_precision"`
	Continue      bool         `json:"continue"` // go on from the adapter in use, where it is of the same shape; else begin a new one. A whole model begins with it merged
	Composed      float64      `json:"composed"` // composed reports for each correction
	Weights       rows.Weights `json:"weights"`
	HeldOut       float64      `json:"held_out"` // share of the patients kept for the gate
	ValidateEvery int          `json:"validate_every"`
	Patience      int          `json:"patience"`
	Checkpoint    int          `json:"checkpoint_every"`
	MaxTokens     int          `json:"max_tokens"` // of a prompt with its report; longer ones are left out
}

// Paper holds the values of LLaMA-XR (arXiv 2506.03178, section 3.5); its own reproduction shows that they hardly move the model.
// Site holds values that work on a few dozen to a few thousand corrections. SitePrefix and SiteFull are Site with a prefix and with the
// whole model in LoRA's place.
var (
	Paper = Preset{
		Name: "paper", Rank: 16, Alpha: 16, Batch: 8, Accumulate: 4, Epochs: 3, PeakRate: 2e-6, Warmup: 30, Decay: 0.01, Beta2: 0.999, EightBit: true,
		Checkpointing: true, Mixed: true, Weights: rows.Everything, HeldOut: 0.2, ValidateEvery: 10, Patience: 10, Checkpoint: 10, MaxTokens: 1024,
	}
	Site = Preset{
		Name: "site", Rank: 16, Alpha: 16, Batch: 4, Accumulate: 1, Epochs: 5, MaxSteps: 800, PeakRate: 2e-3, Warmup: 5, Decay: 0.01, Beta2: 0.98, EightBit: true,
		Continue: true, Composed: 4, Weights: rows.Grounded, HeldOut: 0.2, ValidateEvery: 20, Patience: 5, Checkpoint: 20, MaxTokens: 640,
	}
	SitePrefix = Site.instead("prefix", 20, 0.3)
	SiteFull   = Site.instead("full", 0, 2e-4)
)

// Presets are all of them, the usual one first.
var Presets = []Preset{Site, SitePrefix, SiteFull, Paper}

// instead is a preset without LoRA.
func (p Preset) instead(name string, prefix int, rate float64) Preset {
	p.Name, p.Rank, p.Alpha, p.Prefix, p.PeakRate = name, 0, 0, prefix, rate
	return p
}

// full reports whether the whole model trains.
func (p Preset) full() bool { return p.Rank == 0 && p.Prefix == 0 }

// mostFull is the most parameters of a model that trains whole: each takes about 20 bytes, for itself, its gradient, moments and the best so
// far in float32, beside the model that drafts.
const mostFull = 200_000_000

// Check refuses a preset that a language model's folder is too large for.
func (p Preset) Check(base fs.FS) error {
	c, err := configOf(base)
	if err != nil {
		return err
	}
	return p.fits(c)
}

func (p Preset) fits(c *llama.Config) error {
	if n := qlora.Trainable(c, 0, 0); p.full() && n > mostFull {
		return fmt.Errorf("tune: preset %s trains all of a model's parameters, %d million at most; this one has %d: presets %s and %s train few", p.Name, mostFull/1_000_000, n/1_000_000, Site.Name, SitePrefix.Name)
	}
	return nil
}

// configOf reads the shape of the model in a language model's folder.
func configOf(base fs.FS) (*llama.Config, error) {
	text, err := fs.ReadFile(base, llama.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("tune: the language model: %w", err)
	}
	return llama.ParseConfig(text)
}

// PresetByName finds a preset, with settings in place of its own, each as rank=8: a field's name in JSON and its value. The result's name says
// what was changed.
func PresetByName(name string, settings ...string) (Preset, error) {
	var names []string
	for _, p := range Presets {
		if names = append(names, p.Name); p.Name == name {
			return p.with(settings)
		}
	}
	return Preset{}, fmt.Errorf("tune: unknown preset %q, none of %s", name, strings.Join(names, ", "))
}

func (p Preset) with(settings []string) (Preset, error) {
	if len(settings) == 0 {
		return p, nil
	}
	name := p.Name
	for _, setting := range settings {
		key, value, ok := strings.Cut(setting, "=")
		if !ok || key == "" || value == "" || key == "name" {
			return Preset{}, fmt.Errorf("tune: setting %q is not of the form rank=8", setting)
		}
		one, err := json.Marshal(map[string]json.RawMessage{key: json.RawMessage(value)})
		if err != nil {
			return Preset{}, fmt.Errorf("tune: setting %q: the value is neither a number nor true or false", setting)
		}
		in := json.NewDecoder(bytes.NewReader(one))
		in.DisallowUnknownFields()
		if err := in.Decode(&p); err != nil {
			return Preset{}, fmt.Errorf("tune: setting %q: %w", setting, err)
		}
	}
	p.Name = name + " with " + strings.Join(settings, ", ")
	return p, p.check()
}

// check refuses values that no run works with.
func (p Preset) check() error {
	for _, field := range []struct {
		name               string
		value, least, most float64
	}{
		{"rank", float64(p.Rank), 0, 256},
		{"alpha", float64(p.Alpha), 0, 4096},
		{"prefix", float64(p.Prefix), 0, 512},
		{"batch", float64(p.Batch), 1, 1024},
		{"accumulate", float64(p.Accumulate), 1, 4096},
		{"epochs", p.Epochs, 0.01, 1000},
		{"max_steps", float64(p.MaxSteps), 0, 1_000_000},
		{"peak_rate", p.PeakRate, 1e-9, 10},
		{"warmup_steps", float64(p.Warmup), 0, 1_000_000},
		{"weight_decay", p.Decay, 0, 1},
		{"beta2", p.Beta2, 0.5, 0.99999},
		{"composed", p.Composed, 0, 1000},
		{"held_out", p.HeldOut, 0.05, 0.9},
		{"validate_every", float64(p.ValidateEvery), 1, 1_000_000},
		{"patience", float64(p.Patience), 0, 1_000_000},
		{"checkpoint_every", float64(p.Checkpoint), 1, 1_000_000},
		{"max_tokens", float64(p.MaxTokens), 64, 16384},
		{"weights.prompt", float64(p.Weights.Prompt), 0, 1000},
		{"weights.token", float64(p.Weights.Token), 0, 1000},
		{"weights.decision", float64(p.Weights.Decision), 0, 1000},
		{"weights.impression", float64(p.Weights.Impression), 0, 1000},
	} {
		if !(field.value >= field.least && field.value <= field.most) {
			return fmt.Errorf("tune: preset %s: %s %g is outside %g to %g", p.Name, field.name, field.value, field.least, field.most)
		}
	}
	switch {
	case p.Rank > 0 && p.Prefix > 0:
		return fmt.Errorf("tune: preset %s trains a LoRA adapter or a prefix, not both: set rank or prefix to 0", p.Name)
	case p.Rank > 0 && p.Alpha == 0:
		return fmt.Errorf("tune: preset %s has a rank and alpha 0, by which the adapter would add nothing", p.Name)
	}
	return nil
}

// steps is the number of updates for so many rows.
func (p Preset) steps(examples int) int {
	n := max(1, int(math.Ceil(p.Epochs*float64(examples)/float64(p.Batch*max(p.Accumulate, 1)))))
	if p.MaxSteps > 0 {
		n = min(n, p.MaxSteps)
	}
	return n
}

func (p Preset) schedule() qlora.Schedule { return qlora.Linear(p.Warmup) }
