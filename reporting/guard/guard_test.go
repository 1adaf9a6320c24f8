package guard

import (
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// pieces are sentences a language model may write, right or wrong, from which random reports are drawn.
var pieces = []string{
	"There is a pleural effusion.", "No pleural effusion or pneumothorax.", "The heart is enlarged.", "Heart size is normal.",
	"Possible atelectasis.", "The lungs are clear.", "Unchanged from the prior study.", "A 1.5 cm nodule is seen.",
	"Left basal consolidation.", "No focal consolidation, effusion, or edema.", "The mediastinum is widened.", "A pacemaker is seen.",
	"No acute cardiopulmonary abnormality.", "Emphysema is present.", "There is a rib fracture.", "Pneumonia cannot be excluded.",
	"Hiatal hernia.", "No mass or nodule.", "Pleural thickening is noted, with fibrosis.", "Lung opacity suggests pneumonia.", "xx", "",
	"Infiltrate is present but there is no lung lesion.", "Bones are intact.",
}

// TestNoContradictionLeaves is the guard's promise on random reports over random scores.
func TestNoContradictionLeaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		scores := randomScores(rng)
		raw := randomReport(rng)
		delivered := ""
		for _, s := range Check(raw, scores, nil) {
			if s.Verdict != study.VerdictRemoved {
				delivered += s.Text + "\n"
			}
			if s.Verdict != study.VerdictKept && s.Reason == "" {
				t.Fatalf("sentence %q has verdict %s without a reason", s.Text, s.Verdict)
			}
		}
		said := labeler.Label(delivered)
		for _, f := range study.Findings() {
			positive := said[f] == study.Present || said[f] == study.Uncertain
			if positive != scores.Present(f) {
				t.Fatalf("%s is scored present=%v and said %q\nraw: %s\ndelivered: %s", f, scores.Present(f), said[f], raw, delivered)
			}
		}
		if (&checker{scores: scores}).callsNormal(delivered) {
			t.Fatalf("an abnormal study is called normal: %s", delivered)
		}
	}
}

func TestVerdicts(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	for _, test := range []struct {
		text    string
		verdict study.Verdict
		reason  string
	}{
		{"A pleural effusion is present.", study.VerdictKept, ""},
		{"No pleural effusion.", study.VerdictReplaced, "Effusion is called absent, scored 0.90 (frontal)"},
		{"The heart is enlarged.", study.VerdictReplaced, "Cardiomegaly is called present"},
		{"Effusion, unchanged.", study.VerdictRemoved, "prior"},
		{"A left effusion.", study.VerdictRemoved, "side"},
		{"A 2 cm effusion.", study.VerdictRemoved, "measurement"},
		{"A chest tube is in place.", study.VerdictRemoved, "device"},
		{"No acute abnormality.", study.VerdictRemoved, "normal"},
		{"The lungs are clear.", study.VerdictKept, ""}, // an effusion is outside the lungs
	} {
		got := Check(test.text, scores, nil)[0]
		if got.Verdict != test.verdict || !strings.Contains(got.Reason, test.reason) {
			t.Errorf("%q: verdict %s (%s), want %s (%s)", test.text, got.Verdict, got.Reason, test.verdict, test.reason)
		}
	}
}

func TestEvidenceCarriesViewScoreAndRegion(t *testing.T) {
	region := &study.Region{Left: 1, Top: 2, Right: 3, Bottom: 4}
	scores := study.PairScores{Frontal: &study.Scores{study.Mass: 0.3}, Lateral: &study.Scores{study.Mass: 0.8}}
	maps := []study.HeatMap{{View: study.Lateral, Finding: study.Mass, Region: region}}
	got := Check("FINDINGS: A mass is present. IMPRESSION: Mass.", scores, maps)
	if len(got) != 2 || got[1].Section != study.SectionImpression {
		t.Fatalf("got %+v", got)
	}
	want := study.Evidence{Finding: study.Mass, Polarity: study.Present, View: study.Lateral, Score: 0.8, Region: region}
	if len(got[0].Evidence) != 1 || got[0].Evidence[0] != want {
		t.Errorf("evidence %+v, want %+v", got[0].Evidence, want)
	}
}

func randomScores(rng *rand.Rand) study.PairScores {
	view := func() *study.Scores {
		var s study.Scores
		for i := range s {
			if s[i] = rng.Float32() / 2; rng.IntN(5) == 0 {
				s[i] = 0.5 + rng.Float32()/2
			}
		}
		return &s
	}
	scores := study.PairScores{Frontal: view()}
	if rng.IntN(4) > 0 {
		scores.Lateral = view()
	}
	return scores
}

func randomReport(rng *rand.Rand) string {
	var b strings.Builder
	b.WriteString("FINDINGS: ")
	for range rng.IntN(8) {
		b.WriteString(pieces[rng.IntN(len(pieces))] + " ")
	}
	if rng.IntN(5) > 0 {
		b.WriteString("IMPRESSION: ")
		for range rng.IntN(3) {
			b.WriteString(pieces[rng.IntN(len(pieces))] + " ")
		}
	}
	return b.String()
}

func FuzzCheck(f *testing.F) {
	f.Add("FINDINGS: No effusion. IMPRESSION: Normal.", uint64(1))
	f.Add("impression: impression: x", uint64(2))
	f.Fuzz(func(t *testing.T, raw string, seed uint64) {
		if len(Check(raw, randomScores(rand.New(rand.NewPCG(seed, 1))), nil)) < 2 {
			t.Error("a draft has at least a finding and an impression")
		}
	})
}

// TestNotScoredIsNotSpokenOf: what the classifier does not score is neither affirmed nor denied, by name or by calling the chest normal.
func TestNotScoredIsNotSpokenOf(t *testing.T) {
	var view study.Scores
	view[study.Hernia], view[study.Mass] = study.NotScored(), study.NotScored()
	scores := study.PairScores{Frontal: &view}
	for _, raw := range pieces {
		delivered := ""
		for _, s := range Check("FINDINGS: "+raw+" IMPRESSION: "+raw, scores, nil) {
			if s.Verdict != study.VerdictRemoved {
				delivered += s.Text + "\n"
			}
		}
		said := labeler.Label(delivered)
		for _, f := range scores.NotScored() {
			if p, ok := said[f]; ok {
				t.Errorf("%q: %s is not scored and called %s: %s", raw, f, p, delivered)
			}
		}
		if normalChest.MatchString(delivered) || clearLungs.MatchString(delivered) {
			t.Errorf("%q: the chest is called normal though mass is not scored: %s", raw, delivered)
		}
	}
}
