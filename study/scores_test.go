package study

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestNotScored: a finding that is not scored is neither present nor absent, passes through JSON as null, and is named; one that the other
// view scores is scored.
func TestNotScored(t *testing.T) {
	var frontal, lateral Scores
	frontal[Hernia], frontal[Mass], lateral[Hernia], lateral[Mass] = NotScored(), NotScored(), NotScored(), 0.7
	pair := PairScores{&frontal, &lateral}
	if pair.Present(Hernia) || pair.Scored(Hernia) || !pair.Present(Mass) || !pair.Scored(Edema) {
		t.Error("hernia is not scored, mass is present on the lateral view, edema is scored 0")
	}
	if want := "not scored by the classifier in use: Hernia"; pair.Gap() != want {
		t.Errorf("gap %q, want %q", pair.Gap(), want)
	}
	text, err := json.Marshal(pair)
	if err != nil || !strings.Contains(string(text), `"Hernia":null`) {
		t.Fatalf("%s, %v", text, err)
	}
	var back PairScores
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Frontal.Scored(Mass) || !back.Lateral.Scored(Mass) || back.Gap() != pair.Gap() {
		t.Errorf("back from JSON: %v", back)
	}
	if (PairScores{}).Gap() != "" {
		t.Error("without a view there is no gap to name")
	}
}

// TestShownScore: a score reads as the one that it is or a lower one, never as one that it does not reach.
func TestShownScore(t *testing.T) {
	for score, want := range map[float32]string{
		0: "0.00", 0.497: "0.49", 0.49999997: "0.49", 0.5: "0.50", 0.58: "0.58", 0.597: "0.59", 0.6: "0.60", 0.29: "0.29", 1: "1.00",
	} {
		if got := ShownScore(score); got != want {
			t.Errorf("%v reads %s, want %s", score, got, want)
		}
	}
	for hundredth := range 101 {
		if score := float32(hundredth) / 100; Hundredths(score) != hundredth || hundredth > 0 && Hundredths(math.Nextafter32(score, 0)) != hundredth-1 {
			t.Errorf("%v is %d hundredths, the score before it %d", score, Hundredths(score), Hundredths(math.Nextafter32(score, 0)))
		}
	}
}

// TestStoredScoresStay: a score that was stored is the same when it is read, on the same side of the operating point.
func TestStoredScoresStay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		var scores, back Scores
		for f := range scores {
			scores[f] = rng.Float32() * float32(math.Pow10(-rng.IntN(10)))
		}
		scores[Effusion], scores[Mass] = 0.4999997, math.Nextafter32(OperatingPoint, 0)
		text, err := json.Marshal(scores)
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back != scores {
			t.Fatalf("%v is read as %v (%v)", scores, back, err)
		}
	}
}
