package study

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// OperatingPoint is the calibrated score at and above which a finding counts as present. torchxrayvision's op-norm maps
// each label's own threshold to it (facts: torchxrayvision 1.5.7, xrv.models.op_norm).
const OperatingPoint = 0.5

// SurePoint is the score below which a present finding is only called possible: near the operating point the classifier is wrong about as
// often as right.
const SurePoint = 0.6

// Scores are the calibrated probabilities of one view, each in [0, 1], in the order of Findings. A finding that the classifier does not know is
// NotScored: it is neither present nor absent, and nothing may be said of it.
type Scores [NumFindings]float32

// NotScored stands for a score that was not given. It compares as false with everything: ask Scored.
func NotScored() float32 { return float32(math.NaN()) }

// Cut is a score cut, not rounded, to a multiple of 1/parts: one below a threshold is nowhere told as one at it.
func Cut(score float32, parts float64) float64 {
	decimal, _ := strconv.ParseFloat(strconv.FormatFloat(float64(score), 'f', -1, 32), 64) // 0.58 itself, which is 0.57999998 in binary
	return math.Floor(decimal*parts+1e-9) / parts
}

// Hundredths is a score in whole hundredths, cut downwards.
func Hundredths(score float32) int { return int(math.Round(100 * Cut(score, 100))) }

// ShownScore is a score as people read it: with 2 decimals, cut downwards.
func ShownScore(score float32) string { return fmt.Sprintf("%.2f", Cut(score, 100)) }

// Scored reports whether the classifier gave f a score.
func (s *Scores) Scored(f Finding) bool { return s != nil && !math.IsNaN(float64(s[f])) }

// MarshalJSON writes an object from finding name to score, in the order of Findings, with all digits; null is not scored.
func (s Scores) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, v := range s {
		if i > 0 {
			out = append(out, ',')
		}
		if !s.Scored(Finding(i)) {
			out = fmt.Appendf(out, "%q:null", findingNames[i])
			continue
		}
		out = strconv.AppendFloat(fmt.Appendf(out, "%q:", findingNames[i]), float64(v), 'g', -1, 32)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads an object from finding name to score. Every finding must be there once, with a value in [0, 1] or
// null.
func (s *Scores) UnmarshalJSON(data []byte) error {
	var raw map[string]*float64
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("study: scores: %w", err)
	}
	var seen [NumFindings]bool
	for name, v := range raw {
		f, err := ParseFinding(name)
		if err != nil {
			return err
		}
		if seen[f] {
			return fmt.Errorf("study: score of %s is given twice", f)
		}
		seen[f], s[f] = true, NotScored()
		if v == nil {
			continue
		}
		if math.IsNaN(*v) || *v < 0 || *v > 1 {
			return fmt.Errorf("study: score of %s is %g, outside [0, 1]", f, *v)
		}
		s[f] = float32(*v)
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
// seen. Where no view scores it, it returns 0 and ProjectionUnknown.
func (p PairScores) Combined(f Finding) (float32, Projection) {
	best, from := float32(0), ProjectionUnknown
	for _, view := range []Projection{Frontal, Lateral} {
		if s := p.Of(view); s.Scored(f) && (from == ProjectionUnknown || s[f] > best) {
			best, from = s[f], view
		}
	}
	return best, from
}

// Scored reports whether f is scored in either view.
func (p PairScores) Scored(f Finding) bool {
	_, from := p.Combined(f)
	return from != ProjectionUnknown
}

// NotScored lists the findings that no view scores, because the classifier in use does not know them; none where there is no view at all.
func (p PairScores) NotScored() []Finding {
	var out []Finding
	if p.Frontal == nil && p.Lateral == nil {
		return nil
	}
	for _, f := range Findings() {
		if !p.Scored(f) {
			out = append(out, f)
		}
	}
	return out
}

// Gap says which findings are not scored, for people; empty when all are.
func (p PairScores) Gap() string {
	var names []string
	for _, f := range p.NotScored() {
		names = append(names, f.String())
	}
	if len(names) == 0 {
		return ""
	}
	return "not scored by the classifier in use: " + strings.Join(names, ", ")
}

// Present reports whether f is scored at or above the operating point in either view.
func (p PairScores) Present(f Finding) bool {
	score, from := p.Combined(f)
	return from != ProjectionUnknown && score >= OperatingPoint
}

// Sure reports whether f is present, and not only possible.
func (p PairScores) Sure(f Finding) bool {
	score, _ := p.Combined(f)
	return score >= SurePoint
}
