package xrv

import (
	"encoding/json"
	"fmt"
	"math"

	"llamaxr/inference/drift"
	"llamaxr/study"
)

// maxInput bounds the side of an input in pixels; the largest released network takes 512.
const maxInput = 1024

// Card says what a set of weights is and what its outputs mean. It travels with the weights.
type Card struct {
	Name string `json:"name"`
	// Architecture is the network's name as Load reports it; empty is whatever the weights are.
	Architecture string `json:"architecture,omitempty"`
	Input        Input  `json:"input,omitzero"`
	// Labels are the outputs' names in the model's own order; an empty one is an output that means nothing.
	Labels []string `json:"labels"`
	// Thresholds are the operating points of the sigmoid, by label, null where there is none.
	Thresholds []*float64 `json:"thresholds"`
	// Reference is how the scores are distributed where the model was measured; nil where nobody did.
	Reference *drift.Reference `json:"reference,omitempty"`
	// Record is the training's record, for people.
	Record json.RawMessage `json:"record,omitempty"`
}

// Input is what a network takes: a square picture whose grey levels in [0, 1] are normalised channel by channel, (level - mean) / std.
type Input struct {
	Size int       `json:"size"`
	Mean []float64 `json:"mean"`
	Std  []float64 `json:"std"`
}

// Radiograph is the input of torchxrayvision's networks: one channel of levels from -1024 to 1024.
func Radiograph(size int) Input { return Input{size, []float64{0.5}, []float64{1.0 / 2048}} }

// ParseCard reads and checks a card.
func ParseCard(data []byte) (*Card, error) {
	card := new(Card)
	if err := json.Unmarshal(data, card); err != nil {
		return nil, fmt.Errorf("xrv: card: %w", err)
	}
	if card.Input.Size == 0 && card.Input.Mean == nil && card.Input.Std == nil {
		card.Input = Radiograph(study.InputSize)
	}
	return card, card.check()
}

// check holds a card to itself: at least one finding must be among the labels, none twice.
func (c *Card) check() error {
	if len(c.Thresholds) != len(c.Labels) {
		return fmt.Errorf("xrv: card has %d labels and %d thresholds", len(c.Labels), len(c.Thresholds))
	}
	for i, t := range c.Thresholds {
		if t != nil && !(*t > 0 && *t < 1) && !math.IsNaN(*t) {
			return fmt.Errorf("xrv: card: threshold %d (%s) is %g, outside (0, 1)", i, c.Labels[i], *t)
		}
	}
	in := c.Input
	if in.Size < 32 || in.Size > maxInput || in.Size%32 != 0 {
		return fmt.Errorf("xrv: card: input size %d, want a multiple of 32 up to %d", in.Size, maxInput)
	}
	if n := len(in.Mean); n != len(in.Std) || n != 1 && n != 3 {
		return fmt.Errorf("xrv: card: input has %d means and %d deviations, want 1 or 3 of each", len(in.Mean), len(in.Std))
	}
	for i, s := range in.Std {
		if !(s > 0) || math.IsInf(s, 0) || math.IsNaN(in.Mean[i]) || math.IsInf(in.Mean[i], 0) {
			return fmt.Errorf("xrv: card: channel %d has mean %g and deviation %g", i, in.Mean[i], s)
		}
	}
	if c.Reference != nil {
		if err := c.Reference.Check(); err != nil {
			return fmt.Errorf("xrv: card: %w", err)
		}
	}
	_, err := c.positions()
	return err
}

// none is the position of a finding that no output scores.
const none = -1

// positions returns, for each finding, its place among the outputs. It maps by name, never by position. An output without an operating point
// has no score that can be read: op_norm gives it 0.5 whatever the picture, which would call it present in every study.
func (c *Card) positions() ([study.NumFindings]int, error) {
	var at [study.NumFindings]int
	for i := range at {
		at[i] = none
	}
	seen, scored := map[study.Finding]bool{}, false
	for i, label := range c.Labels {
		f, err := study.ParseFinding(label)
		if err != nil {
			continue // a label that the report does not use
		}
		if seen[f] {
			return at, fmt.Errorf("xrv: card names %s twice", f)
		}
		seen[f] = true
		if t := c.Thresholds[i]; t != nil && !math.IsNaN(*t) {
			at[f], scored = i, true
		}
	}
	if !scored {
		return at, fmt.Errorf("xrv: card has none of the %d findings with an operating point among its labels", study.NumFindings)
	}
	return at, nil
}

// opNorm maps a sigmoid onto [0, 1] with the threshold at 0.5 (torchxrayvision 1.5.7, xrv.models.op_norm).
func opNorm(p float64, threshold *float64) float64 {
	switch {
	case threshold == nil || math.IsNaN(*threshold):
		return 0.5
	case p < *threshold:
		return p / (2 * *threshold)
	}
	return 1 - (1-p)/(2*(1-*threshold))
}
