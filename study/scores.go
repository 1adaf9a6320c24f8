package study

import (
	"encoding/json"
	"fmt"
	"math"
)

// OperatingPoint is the calibrated score at and above which a finding counts as present. torchxrayvision's op-norm maps
// each label's own threshold to it (facts: torchxrayvision 1.5.7, xrv.models.op_norm).
const OperatingPoint = 0.5

// Scores are the calibrated probabilities of one view, each in [0, 1], in the order of Findings.
type Scores [NumFindings]float32

// MarshalJSON writes an object from finding name to score, in the order of Findings.
func (s Scores) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, v := range s {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:%.6g", findingNames[i], v)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads an object from finding name to score. Every finding must be there once with a value in [0, 1].
func (s *Scores) UnmarshalJSON(data []byte) error {
	var raw map[string]float64
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("study: scores: %w", err)
	}
	var seen [NumFindings]bool
	for name, v := range raw {
		f, err := ParseFinding(name)
		if err != nil {
			return err
		}
		if math.IsNaN(v) || v < 0 || v > 1 {
			return fmt.Errorf("study: score of %s is %g, outside [0, 1]", f, v)
		}
		if seen[f] {
			return fmt.Errorf("study: score of %s is given twice", f)
		}
		seen[f], s[f] = true, float32(v)
	}
	for i, ok := range seen {
		if !ok {
			return fmt.Errorf("study: score of %s is missing", Finding(i))
		}
	}
	return nil
}

// PairScores are the scores of a paired study. A view that was not acquired is nil.
type PairScores struct {
	Frontal *Scores `json:"frontal"`
	Lateral *Scores `json:"lateral"`
}

// Of returns the scores of one projection, nil when that view was not acquired.
func (p PairScores) Of(view Projection) *Scores {
	switch view {
	case Frontal:
		return p.Frontal
	case Lateral:
		return p.Lateral
	}
	return nil
}

// Combined returns the higher of the two views' scores of f and the view it comes from: a finding seen on either view is
// seen. With no view at all it returns 0 and ProjectionUnknown.
func (p PairScores) Combined(f Finding) (float32, Projection) {
	best, from := float32(0), ProjectionUnknown
	for _, view := range []Projection{Frontal, Lateral} {
		if s := p.Of(view); s != nil && (from == ProjectionUnknown || s[f] > best) {
			best, from = s[f], view
		}
	}
	return best, from
}

// Present reports whether f is scored at or above the operating point in either view.
func (p PairScores) Present(f Finding) bool {
	score, from := p.Combined(f)
	return from != ProjectionUnknown && score >= OperatingPoint
}
