// Package drift says how far the scores of recent studies lie from those that a classifier gave on its reference: the population stability
// index (PSI) for each finding and view, as it is used for scorecards (N. Siddiqi, Credit Risk Scorecards, 2006, chapter 9):
//
//	PSI = Σ (actual − expected) · ln(actual / expected)   over bins that hold a tenth of the reference each
//
// Below 0.1 nothing has changed, above 0.25 something has: other patients, another detector or processing, or a fault. With n studies the
// index of unchanged scores is about (bins − 1) / n, so that fewer than a hundred say little.
package drift

import (
	"fmt"
	"math"
	"slices"

	"llamaxr/study"
)

// bins is into how many parts the reference is cut.
const bins = 10

// maxEdges bounds a histogram that is read.
const maxEdges = 100

// Reference is how a classifier's scores are distributed where it was measured.
type Reference struct {
	Source string                                        `json:"source"` // for people: which studies
	Count  int                                           `json:"count"`  // of studies
	Views  map[study.Projection]map[study.Finding]Spread `json:"views"`
}

// Spread is a histogram: Edges between its bins, ascending scores in [0, 1], and the share of each bin. Shares that are left out are equal.
type Spread struct {
	Edges  []float64 `json:"edges"`
	Shares []float64 `json:"shares,omitempty"`
}

// Of makes a reference of scores.
func Of(source string, scores []study.PairScores) *Reference {
	r := &Reference{Source: source, Count: len(scores), Views: map[study.Projection]map[study.Finding]Spread{}}
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		spreads := map[study.Finding]Spread{}
		for _, f := range study.Findings() {
			if values := valuesOf(scores, view, f); len(values) >= bins {
				spreads[f] = spreadOf(values)
			}
		}
		if len(spreads) > 0 {
			r.Views[view] = spreads
		}
	}
	return r
}

// valuesOf are the scores of one finding on one view, of the studies that have it.
func valuesOf(scores []study.PairScores, view study.Projection, f study.Finding) []float64 {
	var values []float64
	for _, s := range scores {
		if of := s.Of(view); of.Scored(f) {
			values = append(values, float64(of[f]))
		}
	}
	return values
}

// spreadOf cuts values at their deciles, rounded to six digits. Deciles that coincide are one edge.
func spreadOf(values []float64) Spread {
	slices.Sort(values)
	var s Spread
	for i := 1; i < bins; i++ {
		at := float64(i) / bins * float64(len(values)-1)
		low := int(at)
		edge := values[low] + (at-float64(low))*(values[min(low+1, len(values)-1)]-values[low])
		edge = math.Round(edge*1e6) / 1e6
		if n := len(s.Edges); n == 0 || edge > s.Edges[n-1] {
			s.Edges = append(s.Edges, edge)
		}
	}
	shares := s.shares(values)
	equal := 1 / float64(len(shares))
	if slices.ContainsFunc(shares, func(share float64) bool { return math.Abs(share-equal) > 0.5/float64(len(values)) }) {
		s.Shares = shares
	}
	return s
}

// bin is the bin of a score: the number of edges at or below it.
func (s Spread) bin(score float64) int {
	at, found := slices.BinarySearch(s.Edges, score)
	if found {
		at++
	}
	return at
}

// shares is how values fall into the bins; an empty bin counts as half a value, so that the logarithm stands.
func (s Spread) shares(values []float64) []float64 {
	counts := make([]float64, len(s.Edges)+1)
	for _, v := range values {
		counts[s.bin(v)]++
	}
	for i := range counts {
		counts[i] = max(counts[i], 0.5) / float64(len(values))
	}
	return counts
}

// PSI is the population stability index of values, at least one, against the histogram.
func (s Spread) PSI(values []float64) float64 {
	sum := 0.0
	for i, actual := range s.shares(values) {
		expected := 1 / float64(len(s.Edges)+1)
		if s.Shares != nil {
			expected = s.Shares[i]
		}
		sum += (actual - expected) * math.Log(actual/expected)
	}
	return sum
}

// Index is the PSI of one finding on one view.
type Index struct {
	View    study.Projection
	Finding study.Finding
	PSI     float64
	Count   int // of studies
}

// Indices are those of all findings and views that the reference knows and the scores have.
func (r *Reference) Indices(scores []study.PairScores) []Index {
	var out []Index
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		for _, f := range study.Findings() {
			s, known := r.Views[view][f]
			if values := valuesOf(scores, view, f); known && len(values) > 0 {
				out = append(out, Index{view, f, s.PSI(values), len(values)})
			}
		}
	}
	return out
}

// Check reports what is wrong with a reference that was read.
func (r *Reference) Check() error {
	for view, spreads := range r.Views {
		for f, s := range spreads {
			fault := func(what string) error { return fmt.Errorf("drift: reference of %s on the %s view: %s", f, view, what) }
			if len(s.Edges) == 0 || len(s.Edges) > maxEdges {
				return fault(fmt.Sprintf("%d edges, want 1 to %d", len(s.Edges), maxEdges))
			}
			for i, e := range s.Edges {
				if !(e >= 0 && e <= 1) || i > 0 && e <= s.Edges[i-1] {
					return fault("the edges do not ascend from 0 to 1")
				}
			}
			if s.Shares != nil && len(s.Shares) != len(s.Edges)+1 {
				return fault(fmt.Sprintf("%d shares of %d bins", len(s.Shares), len(s.Edges)+1))
			}
			for _, share := range s.Shares {
				if !(share > 0 && share <= 1) {
					return fault("a share is outside (0, 1]")
				}
			}
		}
	}
	return nil
}
