package starter

import (
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/reporting/guard"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// TestGrammarSaysTheScores holds every report of the grammar against the labeler, what is said is what is scored, and against the guard, which lets nearly every
// sentence stand.
func TestGrammarSaysTheScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		scores := RandomScores(rng)
		for _, pick := range []style{finalStyle, randomStyle(rng)} {
			text := Report(scores, pick)
			for _, s := range guard.Check(text, scores, nil) {
				// What is said of one finding never depends on another: "No lung lesion." beside a mass is for the guard.
				if s.Verdict != study.VerdictKept && !strings.Contains(s.Reason, "is denied beside") {
					t.Fatalf("%q is %s: %s", s.Original, s.Verdict, s.Reason)
				}
			}
			labels := labeler.Label(text)
			for _, f := range study.Findings() {
				if said := labels[f] == study.Present || labels[f] == study.Uncertain; said != scores.Present(f) {
					t.Fatalf("%s: said %q, scored present=%v\n%s", f, labels[f], scores.Present(f), text)
				}
			}
		}
	}
}
