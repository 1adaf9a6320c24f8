package picture

import (
	"bytes"
	"image"
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

// TestBelowTheOperatingPoint: chart and heat map show a score just below 0.50 as one of 0.49.
func TestBelowTheOperatingPoint(t *testing.T) {
	drawn := func(score float32) (chart, heat []uint8) {
		d := study.Draft{Scores: study.PairScores{Frontal: &study.Scores{study.Effusion: score}}}
		c, err := Chart(d)
		if err != nil {
			t.Fatal(err)
		}
		view := image.NewGray(image.Rect(0, 0, 64, 64))
		h, err := HeatMaps(d, nil, []View{{Projection: study.Frontal, Image: view, Factor: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return c.Pix, h.Pix
	}
	chart, heat := drawn(0.4949)
	chartAbove, heatAbove := drawn(0.4951) // bars end in whole pixels
	if !bytes.Equal(chart, chartAbove) || !bytes.Equal(heat, heatAbove) {
		t.Error("0.4951 does not read as 0.4949 does, by 0.49")
	}
}
