package tune

import (
	"fmt"
	"math"

	"llamaxr/finetune/qlora"
	"llamaxr/finetune/rows"
)

// Preset are the settings of a run.
type Preset struct {
	Name          string       `json:"name"`
	Rank          int          `json:"rank"`
	Alpha         int          `json:"alpha"`
	Batch         int          `json:"batch"`
	Accumulate    int          `json:"accumulate"`
	Epochs        float64      `json:"epochs"`
	MaxSteps      int          `json:"max_steps"` // 0: as the epochs say
	PeakRate      float64      `json:"peak_rate"`
	Warmup        int          `json:"warmup_steps"`
	Decay         float64      `json:"weight_decay"`
	Beta2         float64      `json:"beta2"`
	EightBit      bool         `json:"eight_bit_moments"`
	Continue      bool         `json:"continue"` // go on from the adapter in use, where its rank fits; else begin a new one
	Composed      float64      `json:"composed"` // composed reports for each correction
	Weights       rows.Weights `json:"weights"`
	HeldOut       float64      `json:"held_out"` // share of the patients kept for the gate
	ValidateEvery int          `json:"validate_every"`
	Patience      int          `json:"patience"`
	Checkpoint    int          `json:"checkpoint_every"`
	MaxTokens     int          `json:"max_tokens"` // of a prompt with its report; longer ones are cut
}

// Paper holds the values of LLaMA-XR (arXiv 2506.03178, section 3.5); its own reproduction shows that they hardly move the model.
// Site holds values that work on a few dozen to a few thousand corrections.
var (
	Paper = Preset{
		Name: "paper", Rank: 16, Alpha: 16, Batch: 8, Accumulate: 4, Epochs: 3, PeakRate: 2e-6, Warmup: 30, Decay: 0.01, Beta2: 0.999, EightBit: true,
		Weights: rows.Everything, HeldOut: 0.2, ValidateEvery: 10, Patience: 10, Checkpoint: 10, MaxTokens: 1024,
	}
	Site = Preset{
		Name: "site", Rank: 16, Alpha: 16, Batch: 4, Accumulate: 1, Epochs: 5, MaxSteps: 800, PeakRate: 2e-3, Warmup: 5, Decay: 0.01, Beta2: 0.98, EightBit: true,
		Continue: true, Composed: 4, Weights: rows.Grounded, HeldOut: 0.2, ValidateEvery: 20, Patience: 5, Checkpoint: 20, MaxTokens: 512,
	}
)

// PresetByName finds a preset.
func PresetByName(name string) (Preset, error) {
	for _, p := range []Preset{Site, Paper} {
		if p.Name == name {
			return p, nil
		}
	}
	return Preset{}, fmt.Errorf("tune: unknown preset %q: site or paper", name)
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
