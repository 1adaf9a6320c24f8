package picture

import (
	"math"
	"testing"

	"llamaxr/study"
)

// TestAlsoReached: beside the finding whose map is shown, each other one that reaches the operating point is named with its score, highest first; where
// they do not fit, it is said how many are left out.
func TestAlsoReached(t *testing.T) {
	var scores study.Scores
	for f := range scores {
		scores[f] = 0.1
	}
	scores[study.Effusion], scores[study.Pneumothorax], scores[study.Atelectasis], scores[study.Nodule] = 0.9, 0.61, 0.7, float32(math.NaN())
	runes := func(text string) int { return len(text) }
	for room, want := range map[int]string{
		200: "also at or above the operating point: Atelectasis 0.70, Pneumothorax 0.61",
		73:  "also at or above the operating point: Atelectasis 0.70, Pneumothorax 0.61",
		72:  "also at or above the operating point: Atelectasis 0.70 and 1 more",
	} {
		if got := alsoReached(&scores, study.Effusion, room, runes); got != want {
			t.Errorf("in %d: %q, want %q", room, got, want)
		}
	}
	scores[study.Pneumothorax], scores[study.Atelectasis] = 0.1, 0.1
	if got := alsoReached(&scores, study.Effusion, 200, runes); got != "" {
		t.Errorf("of one finding: %q", got)
	}
}
