package starter

import (
	"math/rand/v2"
	"testing"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// TestGrammarSaysTheScores holds every report of the grammar against the labeler: what is said is what is scored.
func TestGrammarSaysTheScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		scores := RandomScores(rng)
		for _, pick := range []style{finalStyle, randomStyle(rng)} {
			text := Report(scores, pick)
			labels := labeler.Label(text)
			for _, f := range study.Findings() {
				if said := labels[f] == study.Present || labels[f] == study.Uncertain; said != scores.Present(f) {
					t.Fatalf("%s: said %q, scored present=%v\n%s", f, labels[f], scores.Present(f), text)
				}
			}
		}
	}
}
