package starter

import (
	"fmt"
	"math/rand/v2"

	"llamaxr/finetune/metrics"
	"llamaxr/study"
)

// MaxReportTokens bounds a starter report; the grammar's longest has about 150.
const MaxReportTokens = 200

// Grounding says how well a model's own text follows the scores, before any guard.
type Grounding struct {
	Cases    int     `json:"cases"`
	MacroF1  float64 `json:"macro_f1"`
	Distinct int     `json:"distinct_texts"`
	// Sensitivity: when one label's scores change sides, its statement changes. Specificity: no other statement does.
	Changed     int     `json:"changed"`
	Sensitivity float64 `json:"sensitivity"`
	Specificity float64 `json:"specificity"`
}

// String gives the figures in one line.
func (g *Grounding) String() string {
	return fmt.Sprintf("macro-F1 %.3f on %d score vectors, %d distinct texts; of %d single changes %.3f were said and %.3f left the rest alone",
		g.MacroF1, g.Cases, g.Distinct, g.Changed, g.Sensitivity, g.Specificity)
}

// GroundingOf compares what is written of each score vector with its scores; each vector is written about again with one label's
// scores moved to the other side of the operating point.
func GroundingOf(vectors []study.PairScores, rng *rand.Rand, write func(study.PairScores) (text string, err error)) (*Grounding, error) {
	g := &Grounding{Cases: len(vectors), Changed: len(vectors)}
	var counts metrics.Counts
	texts := map[string]bool{}
	say := func(scores study.PairScores) ([study.NumFindings]bool, error) {
		text, err := write(scores)
		texts[text] = true
		return metrics.Statements(text), err
	}
	for _, scores := range vectors {
		said, err := say(scores)
		if err != nil {
			return nil, err
		}
		counts.Add(metrics.Scored(scores), said)
		f := study.Finding(rng.IntN(study.NumFindings))
		moved, err := say(Flip(scores, f, rng))
		if err != nil {
			return nil, err
		}
		sensitive, specific := metrics.Followed(said, moved, f)
		if sensitive {
			g.Sensitivity += 1 / float64(len(vectors))
		}
		if specific {
			g.Specificity += 1 / float64(len(vectors))
		}
	}
	g.MacroF1 = counts.Macro()
	g.Distinct = len(texts)
	return g, nil
}

// Flip moves one label's scores in every view to the other side of the operating point.
func Flip(scores study.PairScores, f study.Finding, rng *rand.Rand) study.PairScores {
	level := float32(0.05 + 0.35*rng.Float64())
	if !scores.Present(f) {
		level = float32(0.65 + 0.3*rng.Float64())
	}
	move := func(s *study.Scores) *study.Scores {
		if s == nil {
			return nil
		}
		moved := *s
		moved[f] = level
		return &moved
	}
	return study.PairScores{Frontal: move(scores.Frontal), Lateral: move(scores.Lateral)}
}
