package study

import (
	"encoding/json"
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
